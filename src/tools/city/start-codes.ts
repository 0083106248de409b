import type { TripId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';

/** Start codes that riders share with their drivers at the pickup, outside of the system. */
export interface StartCodes {
  share(tripId: TripId, code: string): void;
  /** Resolves to the code once the rider has shared it; undefined after `timeoutMs` or when the trip is over. */
  waitFor(tripId: TripId, timeoutMs: number, signal: AbortSignal): Promise<string | undefined>;
  /** Forgets the code and ends any wait for it. */
  forget(tripId: TripId): void;
}

export function createStartCodes(clock: Clock): StartCodes {
  const codes = new Map<TripId, string>();
  const waiting = new Map<TripId, AbortController>();

  return {
    share(tripId, code) {
      codes.set(tripId, code);
      waiting.get(tripId)?.abort();
    },
    async waitFor(tripId, timeoutMs, signal) {
      if (!codes.has(tripId)) {
        const shared = new AbortController();
        const stop = () => shared.abort();
        waiting.set(tripId, shared);
        signal.addEventListener('abort', stop, { once: true });
        await clock.sleep(timeoutMs, shared.signal);
        signal.removeEventListener('abort', stop);
        waiting.delete(tripId);
      }
      return codes.get(tripId);
    },
    forget(tripId) {
      codes.delete(tripId);
      waiting.get(tripId)?.abort();
    },
  };
}
