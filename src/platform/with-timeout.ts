import type { Clock } from './clock.ts';

/** Waits for `promise` for at most `ms`. Resolves to its value, or to 'late'. A rejection after that is ignored. */
export async function withTimeout<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T | 'late'> {
  const settled = new AbortController();
  try {
    return await Promise.race([promise, clock.sleep(ms, settled.signal).then(() => 'late' as const)]);
  } finally {
    settled.abort();
  }
}
