/** So many requests in a window, refilled evenly; a burst of the whole quota is allowed. */
export interface LimitPolicy {
  quota: number;
  windowMs: number;
}

export interface LimitDecision {
  isAllowed: boolean;
  /** Requests left right now. */
  remaining: number;
  /** Until the next one is allowed when refused; until the quota is whole again when allowed. */
  waitMs: number;
}

/** Counts the requests of each client against one policy. */
export interface RateLimiter {
  /** Takes one request of the client's quota. Answers at once where nothing has to be asked: it is on the path of every request. */
  take(clientId: string): LimitDecision | Promise<LimitDecision>;
}

/** Makes the limiter of a policy; limiters of one name share their counts over all instances of the edge. */
export type RateLimits = (name: string, policy: LimitPolicy) => RateLimiter;

/**
 * The generic cell rate algorithm: one timestamp a key. `arrivalMs` is the theoretical arrival time
 * kept for the key; the new one is returned with the decision.
 */
export function decideLimit(
  nowMs: number,
  arrivalMs: number,
  { quota, windowMs }: LimitPolicy,
): LimitDecision & { arrivalMs: number } {
  const spacingMs = windowMs / quota;
  const nextMs = Math.max(nowMs, arrivalMs) + spacingMs;
  const excessMs = nextMs - nowMs - windowMs;
  // A thousandth of a spacing forgives the rounding of many sums.
  if (excessMs > spacingMs / 1000) return { isAllowed: false, remaining: 0, waitMs: excessMs, arrivalMs };
  const remaining = Math.floor((windowMs - (nextMs - nowMs)) / spacingMs + 1e-6);
  return { isAllowed: true, remaining: Math.max(0, remaining), waitMs: nextMs - nowMs, arrivalMs: nextMs };
}
