import type { Clock } from './clock.ts';

/** Waits for `promise` at most `ms`: its value, or 'late'. A rejection that comes late is nobody's. */
export async function withTimeout<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T | 'late'> {
  const ended = new AbortController();
  try {
    return await Promise.race([promise, clock.sleep(ms, ended.signal).then(() => 'late' as const)]);
  } finally {
    ended.abort();
  }
}
