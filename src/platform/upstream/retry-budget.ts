/**
 * How many requests may be sent a second time: a fifth of all, and at first as many as the bulkhead holds,
 * since all that were under way on a dead instance are repeated in one moment. More would make an outage
 * worse.
 */
export interface RetryBudget {
  /** A request was sent for the first time. */
  recordRequest(): void;
  /** Whether another may be sent again. */
  tryConsume(): boolean;
}

// In whole numbers: a fifth added five times is not quite one.
const requestsForOne = 5;

export function createRetryBudget(savedMax: number): RetryBudget {
  const mostEarned = savedMax * requestsForOne;
  let earned = mostEarned;
  return {
    recordRequest() {
      if (earned < mostEarned) earned++;
    },
    tryConsume() {
      if (earned < requestsForOne) return false;
      earned -= requestsForOne;
      return true;
    },
  };
}
