import type { TripId } from '@contracts/ids.ts';
import { type Bus, done } from '@platform/bus/bus.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Transitions } from '../lifecycle/transitions.ts';
import type { TripStore } from '../store/store.ts';
import { cancelDeclinedAction } from './payment-check.ts';

export const paymentQueue = 'trip.payments';

// Others may move the trip between reading and writing; each round decides anew.
const roundsMax = 5;

/**
 * Ends trips whose card was declined while no driver drives. There is no inbox row: an event that comes twice
 * or late finds the trip ended or assigned, and changes nothing.
 */
export function createPaymentDeclineConsumer(
  bus: Bus,
  { store, moves }: { store: TripStore; moves: Transitions },
  prefetch: number,
): Worker {
  let stop: (() => Promise<void>) | undefined;
  return {
    name: paymentQueue,
    async start() {
      stop = await bus.subscribe({
        queue: paymentQueue,
        events: ['payment.declined.v1'],
        prefetch,
        async handle({ event: { data } }) {
          await cancelUnassigned(data.tripId);
          return done;
        },
      });
    },
    async stop() {
      await stop?.();
    },
  };

  async function cancelUnassigned(tripId: TripId): Promise<void> {
    for (let round = 0; round < roundsMax; round++) {
      const trip = await store.find(tripId);
      if (trip?.status !== 'requested' && trip?.status !== 'offered') return;
      const moved = await moves.apply(trip, cancelDeclinedAction);
      if (moved.kind !== 'stale') return;
    }
    throw new Error(`trip ${tripId} kept changing`);
  }
}
