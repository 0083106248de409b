import type { SignedOut } from '@contracts/events.ts';
import { asPersonId } from '@contracts/ids.ts';
import { type Bus, done, type HandlerOutcome } from '@platform/bus/bus.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { TripTransition } from '../state.ts';
import type { TripStore } from '../store/store.ts';
import type { Trip } from '../trip.ts';
import type { TripAction } from './actions.ts';
import type { Transitions } from './transitions.ts';

export interface SignOutConsumerDeps {
  bus: Bus;
  store: Pick<TripStore, 'findActive'>;
  transitions: Transitions;
  log: Log;
  prefetch: number;
  /** Begins what a step leads to, without waiting for it. */
  startDispatchIfNeeded: (step: TripTransition) => void;
}

export const peopleQueue = 'trip.people';

// Others may change the trip between our reading and our writing; each round decides anew.
const conflictRoundsMax = 5;
/**
 * An offer that was being made, or an answer with an access token that had not been revoked everywhere
 * yet (3 s at most), is from just after the sign-out and is still ended by it. Nobody is let in again, goes
 * to work and is asked within this time.
 */
const aftermathMs = 5_000;
const system = { actor: 'system' } as const;

/**
 * A driver who has signed out, or was banned, is not waited for: their open offer lapses at once, and a
 * rider whose driver is banned before the ride began gets another one. There is no inbox row: the state
 * of the trip is the fence, so an event that comes twice finds nothing to do, and one that comes late
 * finds what happened since.
 */
export function createSignOutConsumer(options: SignOutConsumerDeps): Worker {
  const { bus, store, transitions, log, prefetch, startDispatchIfNeeded } = options;
  let unsubscribe: (() => Promise<void>) | undefined;

  return {
    name: peopleQueue,
    async start() {
      unsubscribe = await bus.subscribe({
        queue: peopleQueue,
        events: ['user.signed_out.v1'],
        prefetch,
        handle: ({ event }) => apply(event.data),
      });
    },
    async stop() {
      await unsubscribe?.();
    },
  };

  async function apply(signedOut: SignedOut): Promise<HandlerOutcome> {
    if (signedOut.role !== 'driver') return done;
    for (let round = 0; round < conflictRoundsMax; round++) {
      const trip = await findDriven(signedOut);
      const action = trip && actionOnSignOut(trip, signedOut);
      if (trip === undefined || action === undefined) return done;
      const moved = await transitions.apply(trip, action);
      if (moved.kind === 'stale') continue;
      if (moved.kind !== 'moved') return done;
      log.info(
        { tripId: trip.id, action: action.kind, cause: signedOut.cause },
        'the driver of a trip has gone',
      );
      startDispatchIfNeeded(moved.step);
      return done;
    }
    return { kind: 'retry', reason: 'the trip keeps changing' };
  }

  /** The trip that they drive or are asked to drive. */
  async function findDriven({ personId }: SignedOut): Promise<Trip | undefined> {
    const active = await store.findActive([personId]);
    return active
      .map(({ trip }) => trip)
      .find(({ offer, driver }) => {
        const id = (offer?.driver ?? driver)?.id;
        return id !== undefined && asPersonId(id) === personId;
      });
  }
}

/** Undefined when the trip goes on as it is: once the ride has begun, or when it is newer than the sign-out. */
export function actionOnSignOut(trip: Trip, { cause, at }: SignedOut): TripAction | undefined {
  if (trip.updatedAtMs > Date.parse(at) + aftermathMs) return undefined;
  const isBanned = cause === 'banned';
  switch (trip.status) {
    case 'offered':
      return { kind: 'lapse', by: system, reason: isBanned ? 'driver_banned' : 'driver_signed_out' };
    case 'assigned':
    case 'arrived':
      return isBanned ? { kind: 'replace', by: system, reason: 'driver_banned' } : undefined;
    default:
      return undefined;
  }
}
