import type { TripId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';

/** What passes between two people at the kerb, out of the system's sight: the rider says the start code. */
export interface StartCodes {
  share(tripId: TripId, code: string): void;
  /** The code, as soon as the rider has said it; undefined after `timeoutMs`, or when the trip is over. */
  waitFor(tripId: TripId, timeoutMs: number, signal: AbortSignal): Promise<string | undefined>;
  /** The rider is gone: nobody waits for this trip any more. */
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
        const told = new AbortController();
        const stop = () => told.abort();
        waiting.set(tripId, told);
        signal.addEventListener('abort', stop, { once: true });
        await clock.sleep(timeoutMs, told.signal);
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
