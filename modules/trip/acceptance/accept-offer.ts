import type { TripId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import { throwTripNotFound, tripProblem } from '../errors.ts';
import type { RunAction } from '../lifecycle/action-runner.ts';
import type { Transitions } from '../lifecycle/transitions.ts';
import type { TripStore } from '../store/store.ts';
import type { DriverActor, Trip } from '../trip.ts';
import { type CheckPayment, cancelDeclinedAction } from './payment-check.ts';

export interface AcceptOfferDeps {
  store: TripStore;
  transitions: Transitions;
  clock: Clock;
  checkPayment: CheckPayment;
  runAction: RunAction;
}

/**
 * Accepts an offer, once the answer about the rider's card is there or has been waited for long enough. A card
 * that was declined ends the trip, and the driver hears why; also when they ask again.
 */
export function createAcceptOffer({ store, transitions, clock, checkPayment, runAction }: AcceptOfferDeps) {
  /** `name` is what the rider is shown. */
  return async (tripId: TripId, by: DriverActor, name: string | null): Promise<Trip> => {
    const trip = (await store.findForOfferedDriver(tripId, by)) ?? throwTripNotFound();
    const isOpen = trip.offer?.driver.id === by.id && clock.nowMs() < trip.offer.expiresAtMs;
    if (isOpen && (await checkPayment(tripId)) === 'declined') await endUnassigned(trip);
    return runAction(
      () => store.findForOfferedDriver(tripId, by),
      ({ averageRatings }) => ({ kind: 'accept', by, name, averages: averageRatings }),
    );
  };

  /** Ends the trip as it was seen; one that others have moved meanwhile must not be accepted unchecked. */
  async function endUnassigned(trip: Trip): Promise<void> {
    const moved = await transitions.apply(trip, cancelDeclinedAction);
    if (moved.kind === 'moved' || moved.kind === 'refused') return;
    const current = await store.find(trip.id);
    if (current?.status === 'requested' || current?.status === 'offered') throw tripProblem('trip.conflict');
  }
}
