import type { TripId } from '@contracts/ids.ts';
import type { TripStatus } from '@contracts/trips.ts';
import type { Cursor } from '@platform/http/cursor.ts';
import type { Session } from '@platform/postgres/session.ts';
import { type CreationDeps, createTripCreation } from './creation.ts';
import { fault } from './errors.ts';
import type { Moves } from './moves.ts';
import type { Action, Refusal } from './state.ts';
import type { HistoryEntry, Person, Trip } from './trip.ts';

export interface TripServiceDeps extends CreationDeps {
  moves: Moves;
}

type Driver = Extract<Person, { actor: 'driver' }>;

export interface ListQuery {
  status?: TripStatus | undefined;
  after?: Cursor | undefined;
  limit: number;
}

export type TripService = ReturnType<typeof createTripService>;

// Others may change the trip between our reading and our writing; each round decides anew.
const conflictRoundsMax = 5;
const wrongCodesInARow = 5;
const startBlockMs = 60_000;

/** What people do with trips. All of it throws the faults of `errors.ts`, and `idempotency.key_reused`. */
export function createTripService(deps: TripServiceDeps) {
  const { store, moves, clock, assertRoom, followUp } = deps;

  return {
    create: createTripCreation(deps),

    async get(tripId: TripId, by: Person): Promise<Trip> {
      return (await store.findOf(tripId, by)) ?? notFound();
    },

    async history(tripId: TripId, by: Person, session: Session): Promise<HistoryEntry[]> {
      return (await store.history(tripId, by, session)) ?? notFound();
    },

    active: store.findActive,

    list: (by: Person, query: ListQuery, session: Session): Promise<Trip[]> =>
      store.list({ by, ...query }, session),

    accept: (tripId: TripId, by: Driver) => act(tripId, { kind: 'accept', by }, store.findAsked),
    async decline(tripId: TripId, by: Driver, reason: string | null): Promise<void> {
      await act(tripId, { kind: 'decline', by, reason }, store.findAsked);
    },
    arrive: (tripId: TripId, by: Driver) => act(tripId, { kind: 'arrive', by }),
    start: (tripId: TripId, by: Driver, code: string) => act(tripId, { kind: 'start', by, code }),
    complete: (tripId: TripId, by: Driver) => act(tripId, { kind: 'complete', by }),
    cancel: (tripId: TripId, by: Person, reason: string) => act(tripId, { kind: 'cancel', by, reason }),

    /** Once each, after completion; saying the same again is no second rating. */
    async rate(tripId: TripId, by: Person, stars: number, comment: string | null): Promise<Trip> {
      const rated = await store.rate(tripId, by, stars, comment);
      const trip = (await store.findOf(tripId, by)) ?? notFound();
      if (trip.status !== 'completed') throw fault('trip.wrong_state');
      const given = by.actor === 'rider' ? trip.ratings.byRider : trip.ratings.byDriver;
      if (!rated && given !== stars) throw fault('trip.rated');
      return trip;
    },
  };

  /** Decides on the trip as it stands, and again when it was moved by others meanwhile. */
  async function act<By extends Person>(
    tripId: TripId,
    action: Action & { by: By },
    find: (tripId: TripId, by: By) => Promise<Trip | undefined> = store.findOf,
  ): Promise<Trip> {
    assertRoom();
    for (let round = 0; round < conflictRoundsMax; round++) {
      const trip = (await find(tripId, action.by)) ?? notFound();
      const moved = await moves.move(trip, action);
      switch (moved.kind) {
        case 'moved':
          await followUp(moved.step);
          return moved.step.trip;
        case 'repeated':
          return trip;
        case 'refused':
          if (await isCounted(moved.code, trip)) throw refusal(moved.code, trip);
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

  function refusal(code: Refusal, trip: Trip) {
    if (code !== 'trip.start_code_blocked') return fault(code);
    return fault(code, { retryAfterSeconds: Math.ceil((trip.startBlockedUntilMs - clock.nowMs()) / 1000) });
  }
}

function notFound(): never {
  throw fault('trip.not_found');
}
