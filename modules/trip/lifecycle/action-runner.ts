import type { TripId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import { wasPaymentDeclined } from '../acceptance/payment-check.ts';
import { throwTripNotFound, tripProblem } from '../errors.ts';
import type { TripPolicy } from '../settings.ts';
import { driverSilentAtMs, type RejectionCode, type TripTransition } from '../state.ts';
import type { TripStore } from '../store/store.ts';
import type { Trip, TripParty } from '../trip.ts';
import type { TripAction } from './actions.ts';
import type { Transitions } from './transitions.ts';

export interface ActionRunnerDeps {
  store: TripStore;
  transitions: Transitions;
  clock: Clock;
  policy: TripPolicy;
  /** Throws `service.unavailable` while too many outbox entries wait for the broker. */
  assertRoom: () => void;
  /** Dispatches the trip if the transition sent it to the search. */
  dispatchIfNeeded: (transition: TripTransition) => Promise<void>;
}

// Another caller may change the trip between the read and the write. Each round reads and decides again.
const conflictRoundsMax = 5;
const wrongCodesInARow = 5;
const startBlockMs = 60_000;

export type RunAction = ReturnType<typeof createActionRunner>['runAction'];

/** Runs an action on a trip. Throws the problems of `errors.ts` when the action is rejected. */
export function createActionRunner({
  store,
  transitions,
  clock,
  policy,
  assertRoom,
  dispatchIfNeeded,
}: ActionRunnerDeps) {
  return { runAction, runActionOn };

  /** Runs the same action in each round, whatever the trip has become. */
  function runActionOn(tripId: TripId, action: TripAction & { by: TripParty }): Promise<Trip> {
    return runAction(
      () => store.findVisible(tripId, action.by),
      () => action,
    );
  }

  /** Reads the trip, decides and writes. Repeats when another caller has changed the trip in between. */
  async function runAction<Found extends Trip>(
    find: () => Promise<Found | undefined>,
    actionFor: (trip: Found) => TripAction,
  ): Promise<Trip> {
    assertRoom();
    for (let round = 0; round < conflictRoundsMax; round++) {
      const trip = (await find()) ?? throwTripNotFound();
      const action = actionFor(trip);
      const result = await transitions.apply(trip, action);
      switch (result.kind) {
        case 'applied':
          await dispatchIfNeeded(result.transition);
          return result.transition.trip;
        case 'repeated':
          return trip;
        case 'rejected':
          if (await isFinalRejection(result.code, trip)) throw rejectionProblem(result.code, trip, action);
          break;
        case 'stale':
        case 'driver_taken':
          break;
      }
    }
    throw tripProblem('trip.conflict');
  }

  /**
   * A wrong start code is rejected only after it was counted. False if another wrong code was counted in
   * between: that one may have blocked further attempts, so the caller decides again.
   */
  async function isFinalRejection(code: RejectionCode, trip: Trip): Promise<boolean> {
    if (code !== 'trip.start_code_wrong') return true;
    const isLast = (trip.wrongStartCodes + 1) % wrongCodesInARow === 0;
    return store.countWrongStartCode(trip, isLast ? clock.nowMs() + startBlockMs : 0);
  }

  function rejectionProblem(code: RejectionCode, trip: Trip, action: TripAction) {
    if (code === 'trip.wrong_state' && action.kind === 'accept' && wasPaymentDeclined(trip))
      return tripProblem('trip.payment_declined');
    const retryAllowedAtMs = retryAllowedAt(code, trip, action, policy);
    if (retryAllowedAtMs === undefined) return tripProblem(code);
    return tripProblem(code, {
      retryAfterSeconds: Math.max(1, Math.ceil((retryAllowedAtMs - clock.nowMs()) / 1000)),
    });
  }
}

/** When a retry may succeed. Undefined where waiting does not help. */
function retryAllowedAt(
  code: RejectionCode,
  trip: Trip,
  action: TripAction,
  policy: TripPolicy,
): number | undefined {
  if (code === 'trip.start_code_blocked') return trip.startBlockedUntilMs;
  if (code === 'trip.driver_not_silent' && action.kind === 'end_after_silence')
    return driverSilentAtMs(trip, action.lastPositionAtMs, policy);
  return undefined;
}
