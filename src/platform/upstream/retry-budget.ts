/**
 * Bounds how many requests may be retried: a fifth of all, and at first as many as the bulkhead holds, since all
 * requests in flight on a dead instance are retried at the same moment. More retries would make an outage worse.
 */
export interface RetryBudget {
  /** A request was sent for the first time. */
  recordRequest(): void;
  /** Takes one retry from the budget. Returns false when there is none. */
  tryConsume(): boolean;
}

// Counted in whole requests: adding a fifth five times does not give exactly one.
const requestsPerRetry = 5;

export function createRetryBudget(retriesMax: number): RetryBudget {
  const creditMax = retriesMax * requestsPerRetry;
  let credit = creditMax;
  return {
    recordRequest() {
      if (credit < creditMax) credit++;
    },
    tryConsume() {
      if (credit < requestsPerRetry) return false;
      credit -= requestsPerRetry;
      return true;
    },
  };
}
