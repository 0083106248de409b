import type { TripId } from '@contracts/ids.ts';
import type { AuthorisationState, PaymentStatus } from '@contracts/payments.ts';
import type { Clock } from '@platform/clock.ts';
import type { PaymentStore } from '../store/store.ts';

export interface Authorisations {
  /** Waits at most `withinMs` for the authorisation of a trip, and returns its state. */
  waitForState(tripId: TripId, withinMs: number): Promise<AuthorisationState>;
}

// The charge may run on another instance, so the row is polled.
const pollMs = 100;

export function createAuthorisations({
  store,
  clock,
}: {
  store: PaymentStore;
  clock: Clock;
}): Authorisations {
  return {
    async waitForState(tripId, withinMs) {
      const untilMs = clock.nowMs() + withinMs;
      for (;;) {
        const state = authorisationStateOf(await store.payments.statusOfTrip(tripId));
        const remainingMs = untilMs - clock.nowMs();
        if (state !== 'pending' || remainingMs <= 0) return state;
        await clock.sleep(Math.min(pollMs, remainingMs));
      }
    },
  };
}

function authorisationStateOf(status: PaymentStatus | undefined): AuthorisationState {
  switch (status) {
    case undefined:
    case 'none':
      return 'pending';
    case 'declined':
    case 'failed':
      return 'declined';
    case 'authorised':
    case 'captured':
    case 'refunded':
    // The trip has ended; reporting that is up to the trip context.
    case 'voided':
      return 'authorised';
  }
}
