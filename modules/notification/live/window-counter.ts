/** Counts within windows of a fixed length; two numbers, since every connection has some. */
export interface WindowCounter {
  /** Counts one, and gives how many there were in the current window. */
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
