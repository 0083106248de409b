import type { TripId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Action } from './actions.ts';
import { fault, notFound } from './errors.ts';
import type { Moves } from './moves.ts';
import { wasDeclined } from './payment-check.ts';
import type { TripPolicy } from './settings.ts';
import { type Refusal, type Step, silentAtMs } from './state.ts';
import type { TripStore } from './store/store.ts';
import type { Party, Trip } from './trip.ts';

export interface ActsDeps {
  store: TripStore;
  moves: Moves;
  clock: Clock;
  policy: TripPolicy;
  /** Throws `service.unavailable` while too many events wait for the broker. */
  assertRoom: () => void;
  /** Sees to a trip that has just come to want a driver. */
  followUp: (step: Step) => Promise<void>;
}

// Others may change the trip between our reading and our writing; each round decides anew.
const conflictRoundsMax = 5;
const wrongCodesInARow = 5;
const startBlockMs = 60_000;

export type Act = ReturnType<typeof createActs>['act'];

/** How a request to act on a trip is carried out, or refused with a fault of `errors.ts`. */
export function createActs({ store, moves, clock, policy, assertRoom, followUp }: ActsDeps) {
  return { act, actOn };

  /** The same action on whatever the trip has become. */
  function actOn(tripId: TripId, action: Action & { by: Party }): Promise<Trip> {
    return act(
      () => store.findOf(tripId, action.by),
      () => action,
    );
  }

  /** Decides on the trip as it stands, and again when it was moved by others meanwhile. */
  async function act<Found extends Trip>(
    find: () => Promise<Found | undefined>,
    actionOn: (trip: Found) => Action,
  ): Promise<Trip> {
    assertRoom();
    for (let round = 0; round < conflictRoundsMax; round++) {
      const trip = (await find()) ?? notFound();
      const action = actionOn(trip);
      const moved = await moves.move(trip, action);
      switch (moved.kind) {
        case 'moved':
          await followUp(moved.step);
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
    throw fault('trip.conflict');
  }

  /** A wrong code is refused once it is counted; if another was counted meanwhile, that may block this one. */
  async function isCounted(code: Refusal, trip: Trip): Promise<boolean> {
    if (code !== 'trip.start_code_wrong') return true;
    const isLast = (trip.wrongStartCodes + 1) % wrongCodesInARow === 0;
    return store.countWrongCode(trip, isLast ? clock.nowMs() + startBlockMs : 0);
  }

  function refusal(code: Refusal, trip: Trip, action: Action) {
    if (code === 'trip.wrong_state' && action.kind === 'accept' && wasDeclined(trip))
      return fault('trip.payment_declined');
    const againAtMs = retryAtMs(code, trip, action, policy);
    if (againAtMs === undefined) return fault(code);
    return fault(code, { retryAfterSeconds: Math.max(1, Math.ceil((againAtMs - clock.nowMs()) / 1000)) });
  }
}

/** When the same may succeed; undefined where waiting does not help. */
function retryAtMs(code: Refusal, trip: Trip, action: Action, policy: TripPolicy): number | undefined {
  if (code === 'trip.start_code_blocked') return trip.startBlockedUntilMs;
  if (code === 'trip.driver_not_silent' && action.kind === 'end_silent')
    return silentAtMs(trip, action.lastPositionAtMs, policy);
  return undefined;
}
