import type { TripId } from '@contracts/ids.ts';
import type { Transitions } from '../lifecycle/transitions.ts';
import type { TripStore } from '../store/store.ts';
import { cancelDeclinedAction } from './payment-check.ts';

export interface PaymentDeclineDeps {
  store: Pick<TripStore, 'find'>;
  transitions: Transitions;
}

// Another caller may change the trip between the read and the write. Each round reads and decides again.
const conflictRoundsMax = 5;

/** Handles `payment.declined`: cancels a trip whose card was declined, unless it has a driver or has ended. */
export function createPaymentDeclineHandler({ store, transitions }: PaymentDeclineDeps) {
  return async function cancelDeclinedTrip(tripId: TripId): Promise<void> {
    for (let round = 0; round < conflictRoundsMax; round++) {
      const trip = await store.find(tripId);
      if (trip?.status !== 'requested' && trip?.status !== 'offered') return;
      const result = await transitions.apply(trip, cancelDeclinedAction);
      if (result.kind !== 'stale') return;
    }
    throw new Error(`trip ${tripId} kept changing`);
  };
}
