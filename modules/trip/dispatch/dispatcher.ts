import type { TripId } from '@contracts/ids.ts';
import type { DriverPool } from '../ports.ts';
import { createBatchWindow } from './batch-window.ts';
import { type CandidateSearchDeps, createCandidateSearch } from './candidate-search.ts';
import { chooseDrivers, excludeDrivers } from './choices.ts';
import { createOfferMaker, type OfferMakerDeps } from './offers.ts';
import type { DispatchRequest } from './request.ts';

export interface DispatcherDeps extends CandidateSearchDeps, OfferMakerDeps {
  drivers: DriverPool;
  windowMs: number;
}

/** Neither method rejects: when a dispatch fails, the timer of the trip requests it again. */
export interface Dispatcher {
  /** Offers the trip to a driver if there is one. Matches it together with the other trips of the same window. */
  dispatch(request: DispatchRequest): Promise<void>;
  /** Dispatches several trips at once, without waiting for a window. */
  dispatchTogether(requests: readonly DispatchRequest[]): Promise<void>;
}

const windowTripsMax = 64;

/**
 * Finds drivers for waiting trips, in rounds. A round matches trips with drivers and then makes the offers:
 * it holds the driver, and the offer names the vehicle that the hold returned. A driver who can't be held,
 * or who is busy according to the database, drops out. Trips that still have options go into the next
 * round. Each round ends the search of a trip or uses up an option, so the loop ends.
 */
export function createDispatcher(deps: DispatcherDeps): Dispatcher {
  const { clock, log, metrics } = deps;
  const searchDrivers = createCandidateSearch(deps);
  const offerTrip = createOfferMaker(deps);
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
