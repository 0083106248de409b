/** A number of requests per window, refilled evenly. A burst of the whole quota is allowed. */
export interface LimitPolicy {
  quota: number;
  windowMs: number;
}

export interface LimitDecision {
  isAllowed: boolean;
  /** Requests that are left now. */
  remaining: number;
  /** After a rejection, the time until the next request is allowed. Otherwise the time until the quota is full again. */
  waitMs: number;
}

/** Counts the requests of each client against one policy. */
export interface RateLimiter {
  /** Takes one request from the client's quota. Returns at once where possible, because every request waits for it. */
  take(clientId: string): LimitDecision | Promise<LimitDecision>;
}

/** Creates the limiter of a policy. Limiters with the same name share their counts over all instances of the edge. */
export type RateLimits = (name: string, policy: LimitPolicy) => RateLimiter;

/**
 * The generic cell rate algorithm, with one timestamp for each key. `arrivalMs` is the theoretical arrival time
 * stored for the key. The new one is returned with the decision.
 */
export function decideLimit(
  nowMs: number,
  arrivalMs: number,
  { quota, windowMs }: LimitPolicy,
): LimitDecision & { arrivalMs: number } {
  const spacingMs = windowMs / quota;
  const nextMs = Math.max(nowMs, arrivalMs) + spacingMs;
  const excessMs = nextMs - nowMs - windowMs;
  // A thousandth of the spacing absorbs rounding errors that add up.
  if (excessMs > spacingMs / 1000) return { isAllowed: false, remaining: 0, waitMs: excessMs, arrivalMs };
  const remaining = Math.floor((windowMs - (nextMs - nowMs)) / spacingMs + 1e-6);
  return { isAllowed: true, remaining: Math.max(0, remaining), waitMs: nextMs - nowMs, arrivalMs: nextMs };
}
