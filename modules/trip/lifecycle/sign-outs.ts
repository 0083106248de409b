import type { SignedOut } from '@contracts/events.ts';
import { asPersonId } from '@contracts/ids.ts';
import { done, type HandlerOutcome } from '@platform/bus/bus.ts';
import type { Log } from '@platform/log.ts';
import type { TripTransition } from '../state.ts';
import type { TripStore } from '../store/store.ts';
import { type ActiveTrip, driverOf, offerOf } from '../trip.ts';
import type { TripAction } from './actions.ts';
import type { Transitions } from './transitions.ts';

export interface SignOutHandlerDeps {
  store: Pick<TripStore, 'findActive'>;
  transitions: Transitions;
  log: Log;
  /** Starts the dispatch that a transition needs, without waiting for it. */
  startDispatchIfNeeded: (transition: TripTransition) => void;
}

// Another caller may change the trip between the read and the write. Each round reads and decides again.
const conflictRoundsMax = 5;
/**
 * A sign-out also ends what happened up to 5 s after it: an offer that was in flight, or an accept with an
 * access token that was not yet revoked everywhere (3 s at most). No driver can log in again, become
 * available and get an offer within this time.
 */
const coveredAfterMs = 5_000;
const system = { actor: 'system' } as const;

/**
 * Handles `user.signed_out`: the open offer of a driver who signed out or was banned lapses at once, and a
 * trip whose driver is banned before the ride began is reassigned.
 */
export function createSignOutHandler({ store, transitions, log, startDispatchIfNeeded }: SignOutHandlerDeps) {
  return handleSignOut;

  async function handleSignOut(signedOut: SignedOut): Promise<HandlerOutcome> {
    if (signedOut.role !== 'driver') return done;
    for (let round = 0; round < conflictRoundsMax; round++) {
      const trip = await findTripOfDriver(signedOut);
      const action = trip && actionAfterSignOut(trip, signedOut);
      if (trip === undefined || action === undefined) return done;
      const result = await transitions.apply(trip, action);
      if (result.kind === 'stale') continue;
      if (result.kind !== 'applied') return done;
      log.info(
        { tripId: trip.id, action: action.kind, cause: signedOut.cause },
        'driver of a trip signed out',
      );
      startDispatchIfNeeded(result.transition);
      return done;
    }
    return { kind: 'retry', reason: 'trip kept changing' };
  }

  /** The trip that the person drives or has an offer for. */
  async function findTripOfDriver({ personId }: SignedOut): Promise<ActiveTrip | undefined> {
    const active = await store.findActive([personId]);
    return active
      .map(({ trip }) => trip)
      .find((trip) => {
        const driver = offerOf(trip)?.driver ?? driverOf(trip);
        return driver !== null && asPersonId(driver.id) === personId;
      });
  }
}

/** Undefined when the sign-out changes nothing: the ride has begun, or the trip has changed after the sign-out. */
export function actionAfterSignOut(trip: ActiveTrip, { cause, at }: SignedOut): TripAction | undefined {
  if (trip.updatedAtMs > Date.parse(at) + coveredAfterMs) return undefined;
  const isBanned = cause === 'banned';
  switch (trip.status) {
    case 'offered':
      return { kind: 'lapse', by: system, reason: isBanned ? 'driver_banned' : 'driver_signed_out' };
    case 'assigned':
    case 'arrived':
      return isBanned ? { kind: 'reassign', by: system, reason: 'driver_banned' } : undefined;
    default:
      return undefined;
  }
}
