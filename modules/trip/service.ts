import type { LatLng } from '@contracts/geo.ts';
import type { TripId } from '@contracts/ids.ts';
import type { TripStatus } from '@contracts/trips.ts';
import type { Cursor } from '@platform/http/cursor.ts';
import type { Session } from '@platform/postgres/session.ts';
import { type AcceptDeps, createAccept } from './accept.ts';
import { type ActsDeps, createActs } from './acts.ts';
import { type CreationDeps, createTripCreation } from './creation.ts';
import { fault, notFound } from './errors.ts';
import type { DriverPool } from './ports.ts';
import type { Driver, HistoryEntry, Operator, Party, Person, Rider, Trip } from './trip.ts';

export interface TripServiceDeps extends CreationDeps, ActsDeps, Omit<AcceptDeps, 'act'> {
  drivers: Pick<DriverPool, 'lastPositionAtMs'>;
}

export interface ListQuery {
  status?: TripStatus | undefined;
  after?: Cursor | undefined;
  limit: number;
}

export type TripService = ReturnType<typeof createTripService>;

/** What people do with trips. All of it throws the faults of `errors.ts`, and `idempotency.key_reused`. */
export function createTripService(deps: TripServiceDeps) {
  const { store, drivers } = deps;
  const { act, actOn } = createActs(deps);

  return {
    create: createTripCreation(deps),

    async get(tripId: TripId, by: Party): Promise<Trip> {
      return (await store.findOf(tripId, by)) ?? notFound();
    },

    async history(tripId: TripId, by: Party, session: Session): Promise<HistoryEntry[]> {
      return (await store.history(tripId, by, session)) ?? notFound();
    },

    active: store.findActive,

    list: (by: Person, query: ListQuery, session: Session): Promise<Trip[]> =>
      store.list({ by, ...query }, session),

    accept: createAccept({ ...deps, act }),
    async decline(tripId: TripId, by: Driver, reason: string | null): Promise<void> {
      await act(
        () => store.findOffered(tripId, by),
        () => ({ kind: 'decline', by, reason }),
      );
    },
    arrive: (tripId: TripId, by: Driver) => actOn(tripId, { kind: 'arrive', by }),
    start: (tripId: TripId, by: Driver, code: string) => actOn(tripId, { kind: 'start', by, code }),
    complete: (tripId: TripId, by: Driver | Operator, reason: string | null) =>
      actOn(tripId, { kind: 'complete', by, reason }),
    cancel: (tripId: TripId, by: Party, reason: string) => actOn(tripId, { kind: 'cancel', by, reason }),

    /** Takes the trip from its driver, or from the one who is asked, and looks for another. */
    handOver: (tripId: TripId, by: Operator, reason: string, pickup: LatLng | undefined) =>
      actOn(tripId, { kind: 'replace', by, reason, pickup }),

    /** Ends a ride whose driver has fallen silent. Throws `service.unavailable` while nobody can tell. */
    async endSilent(tripId: TripId, by: Rider): Promise<Trip> {
      const { status } = (await store.findOf(tripId, by)) ?? notFound();
      const lastPositionAtMs = status === 'in_progress' ? await drivers.lastPositionAtMs(tripId) : null;
      return actOn(tripId, { kind: 'end_silent', by, lastPositionAtMs });
    },

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
}
