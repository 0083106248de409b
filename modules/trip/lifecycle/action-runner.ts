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
  /** Throws `service.unavailable` while too many events wait for the broker. */
  assertRoom: () => void;
  /** Sees to a trip that has just come to want a driver. */
  dispatchIfNeeded: (step: TripTransition) => Promise<void>;
}

// Others may change the trip between our reading and our writing; each round decides anew.
const conflictRoundsMax = 5;
const wrongCodesInARow = 5;
const startBlockMs = 60_000;

export type RunAction = ReturnType<typeof createActionRunner>['act'];

/** How a request to act on a trip is carried out, or refused with a fault of `errors.ts`. */
export function createActionRunner({
  store,
  transitions,
  clock,
  policy,
  assertRoom,
  dispatchIfNeeded,
}: ActionRunnerDeps) {
  return { act, actOn };

  /** The same action on whatever the trip has become. */
  function actOn(tripId: TripId, action: TripAction & { by: TripParty }): Promise<Trip> {
    return act(
      () => store.findVisible(tripId, action.by),
      () => action,
    );
  }

  /** Decides on the trip as it stands, and again when it was moved by others meanwhile. */
  async function act<Found extends Trip>(
    find: () => Promise<Found | undefined>,
    actionOn: (trip: Found) => TripAction,
  ): Promise<Trip> {
    assertRoom();
    for (let round = 0; round < conflictRoundsMax; round++) {
      const trip = (await find()) ?? throwTripNotFound();
      const action = actionOn(trip);
      const moved = await transitions.apply(trip, action);
      switch (moved.kind) {
        case 'moved':
          await dispatchIfNeeded(moved.step);
          return moved.step.trip;
        case 'repeated':
          return trip;
        case 'refused':
          if (await isCounted(moved.code, trip)) throw refusal(moved.code, trip, action);
          break;
        case 'stale':
        case 'driver_taken':
          break;
      }
    }
    throw tripProblem('trip.conflict');
  }

  /** A wrong code is refused once it is counted; if another was counted meanwhile, that may block this one. */
  async function isCounted(code: RejectionCode, trip: Trip): Promise<boolean> {
    if (code !== 'trip.start_code_wrong') return true;
    const isLast = (trip.wrongStartCodes + 1) % wrongCodesInARow === 0;
    return store.countWrongStartCode(trip, isLast ? clock.nowMs() + startBlockMs : 0);
  }

  function refusal(code: RejectionCode, trip: Trip, action: TripAction) {
    if (code === 'trip.wrong_state' && action.kind === 'accept' && wasPaymentDeclined(trip))
      return tripProblem('trip.payment_declined');
    const againAtMs = retryAtMs(code, trip, action, policy);
    if (againAtMs === undefined) return tripProblem(code);
    return tripProblem(code, {
      retryAfterSeconds: Math.max(1, Math.ceil((againAtMs - clock.nowMs()) / 1000)),
    });
  }
}

/** When the same may succeed; undefined where waiting does not help. */
function retryAtMs(
  code: RejectionCode,
  trip: Trip,
  action: TripAction,
  policy: TripPolicy,
): number | undefined {
  if (code === 'trip.start_code_blocked') return trip.startBlockedUntilMs;
  if (code === 'trip.driver_not_silent' && action.kind === 'end_silent')
    return driverSilentAtMs(trip, action.lastPositionAtMs, policy);
  return undefined;
}
