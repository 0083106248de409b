import type { Candidate } from '@contracts/drivers.ts';
import type { Clock } from '@platform/clock.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { RoadRouter } from '@platform/routing/router.ts';
import type { DriverPool } from '../ports.ts';
import type { TripStore } from '../store/store.ts';
import type { Trip } from '../trip.ts';
import type { DispatchOption, TripSearch } from './choices.ts';
import type { DispatchRequest } from './request.ts';

export interface CandidateSearchDeps {
  store: Pick<TripStore, 'find'>;
  drivers: Pick<DriverPool, 'findCandidates'>;
  router: RoadRouter;
  clock: Clock;
  metrics: Metrics;
}

const candidatesMax = 8;
// The candidate search excludes at most this many drivers. A trip with this many offers gets no more.
const offersPerTripMax = 200;

/** Finds the drivers who could serve a trip. Undefined if the trip needs no driver any more. */
export function createCandidateSearch({ store, drivers, router, clock, metrics }: CandidateSearchDeps) {
  return searchDrivers;

  async function searchDrivers({ tripId, version }: DispatchRequest): Promise<TripSearch | undefined> {
    const trip = await store.find(tripId);
    if (trip?.status !== 'requested' || trip.version !== version) return undefined;
    const { searchUntilMs, offeredDriverIds, fare } = trip;
    if (clock.nowMs() >= searchUntilMs || offeredDriverIds.length >= offersPerTripMax) return undefined;
    const candidates = await drivers.findCandidates({
      pickup: fare.pickup,
      product: fare.product,
      limit: candidatesMax,
      excluding: [...offeredDriverIds],
    });
    const options = await Promise.all(candidates.map((candidate) => optionOf(trip, candidate)));
    options.sort((a, b) => a.etaSeconds - b.etaSeconds);
    metrics.count('dispatch_searches_total', { found: options.length > 0 ? 'some' : 'none' });
    return { trip, options, takenDriverIds: [] };
  }

  async function optionOf({ fare }: Trip, candidate: Candidate): Promise<DispatchOption> {
    const { durationSeconds } = await router.route(candidate.position, fare.pickup, clock.nowMs());
    return { candidate, etaSeconds: durationSeconds };
  }
}
