import type { Candidate, ReleaseRequest } from '@contracts/drivers.ts';
import type { TripId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { RoadRouter } from '@platform/routing/router.ts';
import type { Transitions } from '../lifecycle/transitions.ts';
import type { DriverPool } from '../ports.ts';
import type { TripPolicy } from '../settings.ts';
import type { TripStore } from '../store/store.ts';
import type { Trip } from '../trip.ts';
import { createBatchWindow } from './batch-window.ts';
import {
  chooseDrivers,
  type DispatchChoice,
  type DispatchOption,
  dispatchDecisionOf,
  excludeDrivers,
  type TripSearch,
} from './choices.ts';

export interface DispatcherDeps {
  store: TripStore;
  transitions: Transitions;
  drivers: DriverPool;
  router: RoadRouter;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  policy: TripPolicy;
  windowMs: number;
}

/** A trip to dispatch. The request is obsolete once the trip has left `version`. */
export interface DispatchRequest {
  tripId: TripId;
  version: number;
}

/** Neither method rejects: when a dispatch fails, the timer of the trip requests it again. */
export interface Dispatcher {
  /** Offers the trip to a driver if there is one. Matches it together with the other trips of the same window. */
  dispatch(request: DispatchRequest): Promise<void>;
  /** Dispatches several trips at once, without waiting for a window. */
  dispatchTogether(requests: readonly DispatchRequest[]): Promise<void>;
}

const candidatesMax = 8;
const windowTripsMax = 64;
// The candidate search excludes at most this many drivers. A trip with this many offers gets no more.
const offersPerTripMax = 200;

/**
 * Finds drivers for waiting trips, in rounds. A round matches trips with drivers and then makes the offers:
 * it holds the driver, and the offer names the vehicle that the hold returned. A driver who can't be held,
 * or who is busy according to the database, drops out. Trips that still have options go into the next
 * round. Each round ends the search of a trip or uses up an option, so the loop ends.
 */
export function createDispatcher(deps: DispatcherDeps): Dispatcher {
  const { store, transitions, drivers, router, clock, log, metrics, policy } = deps;
  const dispatchInWindow = createBatchWindow({
    clock,
    windowMs: deps.windowMs,
    sizeMax: windowTripsMax,
    run: dispatchAll,
  });
  return { dispatch: dispatchInWindow, dispatchTogether: dispatchAll };

  async function dispatchAll(requests: readonly DispatchRequest[]): Promise<void> {
    const distinct = new Map(requests.map((request) => [request.tripId, request]));
    const found = await Promise.all(
      [...distinct.values()].map((request) => logFailure(request.tripId, searchDrivers(request))),
    );
    const searches = found.filter((search) => search !== undefined);
    const considered = new Map(searches.map(({ trip, options }) => [trip.id, options]));
    for (let open = searches; open.length > 0; ) {
      const choices = chooseDrivers(open);
      const outcomes = await Promise.all(
        choices.map((choice) => {
          const { id } = choice.search.trip;
          return logFailure(id, offerTrip(choice, considered.get(id) ?? [], open.length));
        }),
      );
      const triedDriverIds = new Set(choices.map(({ option }) => option.candidate.driverId));
      const finished = new Set(
        choices.filter((_, index) => outcomes[index] !== 'taken').map(({ search }) => search),
      );
      open = open
        .filter((search) => !finished.has(search))
        .map((search) => excludeDrivers(search, triedDriverIds))
        .filter(({ options }) => options.length > 0);
    }
  }

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

  /**
   * Holds the driver and makes the offer. `finished`: the trip has an offer, from here or elsewhere, or needs
   * none any more. `taken`: the driver can't be offered this trip.
   */
  async function offerTrip(
    choice: DispatchChoice,
    considered: readonly DispatchOption[],
    matchedTrips: number,
  ): Promise<'finished' | 'taken'> {
    const { trip } = choice.search;
    const { driverId } = choice.option.candidate;
    const hold = { driverId, tripId: trip.id, version: trip.version };
    const { product } = trip.fare;
    const held = await drivers
      .hold({ ...hold, product, ttlMs: policy.offerTimeoutMs })
      .catch(async (error: unknown) => {
        // The hold may have succeeded and only its response was lost.
        await releaseHold(hold);
        throw error;
      });
    if (!held.held) return 'taken';
    const driver = { id: driverId, vehicle: held.vehicle };
    // If this throws, the outcome of the write is unknown, so the hold stays: the offer's event or its expiry ends it.
    const result = await transitions.apply(
      trip,
      { kind: 'offer', by: { actor: 'system' }, driver },
      dispatchDecisionOf(considered, choice, matchedTrips),
    );
    if (result.kind === 'applied') return 'finished';
    await releaseHold(hold);
    return result.kind === 'driver_taken' ? 'taken' : 'finished';
  }

  async function releaseHold(hold: ReleaseRequest): Promise<void> {
    try {
      await drivers.release(hold);
    } catch (error) {
      log.warn({ ...hold, err: error }, 'failed to release driver hold, it ends by its expiry');
    }
  }

  async function logFailure<T>(tripId: TripId, work: Promise<T>): Promise<T | undefined> {
    try {
      return await work;
    } catch (error) {
      metrics.count('dispatch_failures_total');
      log.warn({ tripId, err: error }, 'failed to dispatch trip, its timer retries');
      return undefined;
    }
  }
}
