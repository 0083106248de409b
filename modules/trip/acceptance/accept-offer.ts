import type { TripId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import { throwTripNotFound, tripProblem } from '../errors.ts';
import type { RunAction } from '../lifecycle/action-runner.ts';
import type { Transitions } from '../lifecycle/transitions.ts';
import type { TripStore } from '../store/store.ts';
import { type DriverActor, offerOf, type Trip } from '../trip.ts';
import { type CheckPayment, cancelDeclinedAction } from './payment-check.ts';

export interface AcceptOfferDeps {
  store: TripStore;
  transitions: Transitions;
  clock: Clock;
  checkPayment: CheckPayment;
  runAction: RunAction;
}

/**
 * Accepts an offer after the authorisation of the rider's card is known, or after waiting long enough for it.
 * A declined card ends the trip. The driver gets `trip.payment_declined`, also when they retry.
 */
export function createAcceptOffer({ store, transitions, clock, checkPayment, runAction }: AcceptOfferDeps) {
  /** `name` is the driver's name as the rider sees it. */
  return async (tripId: TripId, by: DriverActor, name: string | null): Promise<Trip> => {
    const trip = (await store.findForOfferedDriver(tripId, by)) ?? throwTripNotFound();
    const offer = offerOf(trip);
    const isOpen = offer?.driver.id === by.id && clock.nowMs() < offer.expiresAtMs;
    if (isOpen && (await checkPayment(tripId)) === 'declined') await cancelDeclined(trip);
    return runAction(
      () => store.findForOfferedDriver(tripId, by),
      ({ averageRatings }) => ({ kind: 'accept', by, name, averageRatings }),
    );
  };

  /** Cancels the trip that was read. If it has changed and still has no driver, it must not be accepted unchecked. */
  async function cancelDeclined(trip: Trip): Promise<void> {
    const result = await transitions.apply(trip, cancelDeclinedAction);
    if (result.kind === 'applied' || result.kind === 'rejected') return;
    const current = await store.find(trip.id);
    if (current?.status === 'requested' || current?.status === 'offered') throw tripProblem('trip.conflict');
  }
}
