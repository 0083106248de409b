import type { LatLng } from '@contracts/geo.ts';
import type { TripId } from '@contracts/ids.ts';
import type { TripStatus } from '@contracts/trips.ts';
import type { Cursor } from '@platform/http/cursor.ts';
import type { ReadConsistencyToken } from '@platform/postgres/read-consistency.ts';
import { type AcceptOfferDeps, createAcceptOffer } from './acceptance/accept-offer.ts';
import { type CreationDeps, createTripCreation } from './creation/create-trip.ts';
import { throwTripNotFound, tripProblem } from './errors.ts';
import { type ActionRunnerDeps, createActionRunner } from './lifecycle/action-runner.ts';
import type { DriverPool } from './ports.ts';
import type {
  DriverActor,
  HistoryEntry,
  OperatorActor,
  Participant,
  RiderActor,
  Trip,
  TripParty,
} from './trip.ts';

export interface TripServiceDeps extends CreationDeps, ActionRunnerDeps, Omit<AcceptOfferDeps, 'runAction'> {
  drivers: Pick<DriverPool, 'findLastPositionAtMs'>;
}

export interface TripListQuery {
  status?: TripStatus | undefined;
  after?: Cursor | undefined;
  limit: number;
}

export type TripService = ReturnType<typeof createTripService>;

/** The use cases of trips. They throw the problems of `errors.ts`, and `idempotency.key_reused`. */
export function createTripService(deps: TripServiceDeps) {
  const { store, drivers } = deps;
  const { runAction, runActionOn } = createActionRunner(deps);

  return {
    create: createTripCreation(deps),

    async get(tripId: TripId, by: TripParty): Promise<Trip> {
      return (await store.findVisible(tripId, by)) ?? throwTripNotFound();
    },

    async history(tripId: TripId, by: TripParty, token: ReadConsistencyToken): Promise<HistoryEntry[]> {
      return (await store.history(tripId, by, token)) ?? throwTripNotFound();
    },

    findActive: store.findActive,

    list: (participant: Participant, query: TripListQuery, token: ReadConsistencyToken): Promise<Trip[]> =>
      store.list({ participant, ...query }, token),

    accept: createAcceptOffer({ ...deps, runAction }),
    async decline(tripId: TripId, by: DriverActor, reason: string | null): Promise<void> {
      await runAction(
        () => store.findForOfferedDriver(tripId, by),
        () => ({ kind: 'decline', by, reason }),
      );
    },
    arrive: (tripId: TripId, by: DriverActor) => runActionOn(tripId, { kind: 'arrive', by }),
    start: (tripId: TripId, by: DriverActor, code: string) =>
      runActionOn(tripId, { kind: 'start', by, code }),
    complete: (tripId: TripId, by: DriverActor | OperatorActor, reason: string | null) =>
      runActionOn(tripId, { kind: 'complete', by, reason }),
    cancel: (tripId: TripId, by: TripParty, reason: string) =>
      runActionOn(tripId, { kind: 'cancel', by, reason }),

    /** Takes the trip from the driver who has it or its offer, and searches for another driver. */
    reassign: (tripId: TripId, by: OperatorActor, reason: string, pickup: LatLng | undefined) =>
      runActionOn(tripId, { kind: 'reassign', by, reason, pickup }),

    /**
     * Completes a ride whose driver has stopped sending positions. Throws `service.unavailable` while the
     * driver service can't be reached.
     */
    async endAfterDriverSilence(tripId: TripId, by: RiderActor): Promise<Trip> {
      const { status } = (await store.findVisible(tripId, by)) ?? throwTripNotFound();
      const lastPositionAtMs = status === 'in_progress' ? await drivers.findLastPositionAtMs(tripId) : null;
      return runActionOn(tripId, { kind: 'end_after_silence', by, lastPositionAtMs });
    },

    /** Each participant rates once, after completion. Repeating the same rating changes nothing. */
    async rate(tripId: TripId, by: Participant, stars: number, comment: string | null): Promise<Trip> {
      const rated = await store.rate(tripId, by, stars, comment);
      const trip = (await store.findVisible(tripId, by)) ?? throwTripNotFound();
      if (trip.status !== 'completed') throw tripProblem('trip.wrong_state');
      const storedStars = by.actor === 'rider' ? trip.ratings.byRider : trip.ratings.byDriver;
      if (!rated && storedStars !== stars) throw tripProblem('trip.rated');
      return trip;
    },
  };
}
