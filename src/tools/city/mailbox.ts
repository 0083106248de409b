import type { Clock } from '@platform/clock.ts';

/** A queue of events that a person has not handled yet. It has one reader. */
export interface Mailbox<T> {
  put(item: T): void;
  /** Takes the oldest item; waits up to `timeoutMs` for one, or until `signal` aborts. */
  take(timeoutMs: number, signal: AbortSignal): Promise<T | undefined>;
}

/** Beyond `itemsMax` the oldest items are dropped; the reader then reads the current state from the server. */
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
