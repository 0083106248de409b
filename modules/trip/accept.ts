import type { TripId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Act } from './acts.ts';
import { fault, notFound } from './errors.ts';
import type { Moves } from './moves.ts';
import { declineAction, type PaymentCheck } from './payment-check.ts';
import type { TripStore } from './store/store.ts';
import type { Driver, Trip } from './trip.ts';

export interface AcceptDeps {
  store: TripStore;
  moves: Moves;
  clock: Clock;
  checkPayment: PaymentCheck;
  act: Act;
}

/**
 * Accepts an offer, once the answer about the rider's card is there or has been waited for long enough. A card
 * that was declined ends the trip, and the driver hears why; also when they ask again.
 */
export function createAccept({ store, moves, clock, checkPayment, act }: AcceptDeps) {
  /** `name` is what the rider is shown. */
  return async (tripId: TripId, by: Driver, name: string | null): Promise<Trip> => {
    const trip = (await store.findOffered(tripId, by)) ?? notFound();
    const isOpen = trip.offer?.driver.id === by.id && clock.nowMs() < trip.offer.expiresAtMs;
    if (isOpen && (await checkPayment(tripId)) === 'declined') await endUnassigned(trip);
    return act(
      () => store.findOffered(tripId, by),
      ({ averages }) => ({ kind: 'accept', by, name, averages }),
    );
  };

  /** Ends the trip as it was seen; one that others have moved meanwhile must not be accepted unchecked. */
  async function endUnassigned(trip: Trip): Promise<void> {
    const moved = await moves.move(trip, declineAction);
    if (moved.kind === 'moved' || moved.kind === 'refused') return;
    const current = await store.find(trip.id);
    if (current?.status === 'requested' || current?.status === 'offered') throw fault('trip.conflict');
  }
}
