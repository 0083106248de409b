/** Counts events within fixed time windows. It is kept to two numbers because every connection may have several. */
export interface WindowCounter {
  /** Counts one event and returns the count of the current window. */
  increment(nowMs: number): number;
}

export function createWindowCounter(windowMs: number): WindowCounter {
  let windowStartMs = Number.NEGATIVE_INFINITY;
  let counted = 0;
  return {
    increment(nowMs) {
      if (nowMs - windowStartMs >= windowMs) {
        windowStartMs = nowMs;
        counted = 0;
      }
      return ++counted;
    },
  };
}
