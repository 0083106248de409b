/** The only source of time. Tests and simulations pass a clock that they move themselves. */
export interface Clock {
  /** Unix milliseconds. */
  nowMs(): number;
  /** Resolves after `ms`, or at once when `signal` aborts. Never rejects: the caller checks the signal. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  sleep(ms, signal) {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener('abort', done, { once: true });
    });
  },
};

/**
 * A clock for tests and simulations that moves only by `advance(ms)`, which wakes sleepers in the order of their due
 * times and lets each run before it wakes the next.
 */
export interface ManualClock extends Clock {
  advance(ms: number): Promise<void>;
  sleepers(): number;
}

export function createManualClock(startMs: number): ManualClock {
  let nowMs = startMs;
  const sleepers = new Set<{ dueMs: number; wake: () => void }>();

  return {
    nowMs: () => nowMs,
    sleepers: () => sleepers.size,
    sleep(ms, signal) {
      if (signal?.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const sleeper = { dueMs: nowMs + ms, wake };
        function wake() {
          sleepers.delete(sleeper);
          signal?.removeEventListener('abort', wake);
          resolve();
        }
        sleepers.add(sleeper);
        signal?.addEventListener('abort', wake, { once: true });
      });
    },
    async advance(ms) {
      const endMs = nowMs + ms;
      // Work in flight gets to its next sleep first, at the time before the move.
      await new Promise<void>((resolve) => setImmediate(resolve));
      for (;;) {
        const next = [...sleepers].sort((a, b) => a.dueMs - b.dueMs)[0];
        if (next === undefined || next.dueMs > endMs) break;
        nowMs = Math.max(nowMs, next.dueMs);
        next.wake();
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      nowMs = endMs;
    },
  };
}
