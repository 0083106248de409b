import type { Clock } from '@platform/clock.ts';

/** What a person was told and has not looked at yet. One reader. */
export interface Mailbox<T> {
  put(item: T): void;
  /** The oldest item; waits for one for at most `timeoutMs`, and not after `signal` aborts. */
  take(timeoutMs: number, signal: AbortSignal): Promise<T | undefined>;
}

/** Past `itemsMax` the oldest are dropped: their reader finds the truth by asking the server. */
export function createMailbox<T>(clock: Clock, itemsMax = 200): Mailbox<T> {
  const items: T[] = [];
  let waiting: AbortController | undefined;

  return {
    put(item) {
      items.push(item);
      if (items.length > itemsMax) items.shift();
      waiting?.abort();
    },
    async take(timeoutMs, signal) {
      if (items.length === 0 && timeoutMs > 0 && !signal.aborted) {
        const arrived = new AbortController();
        const stop = () => arrived.abort();
        waiting = arrived;
        signal.addEventListener('abort', stop, { once: true });
        await clock.sleep(timeoutMs, arrived.signal);
        signal.removeEventListener('abort', stop);
        waiting = undefined;
      }
      return items.shift();
    },
  };
}
