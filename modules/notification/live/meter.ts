/** Counts within windows of a fixed length; two numbers, since every connection has some. */
export interface Meter {
  /** Counts one, and gives how many there were in the current window. */
  count(nowMs: number): number;
}

export function createMeter(windowMs: number): Meter {
  let windowStartMs = Number.NEGATIVE_INFINITY;
  let counted = 0;
  return {
    count(nowMs) {
      if (nowMs - windowStartMs >= windowMs) {
        windowStartMs = nowMs;
        counted = 0;
      }
      return ++counted;
    },
  };
}
