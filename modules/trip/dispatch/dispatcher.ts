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

/** A trip that wants a driver, as it was at `version`: one that has moved on since wants nothing. */
export interface DispatchRequest {
  tripId: TripId;
  version: number;
}

/** Both never reject: a trip that could not be dispatched is asked for again by its own timer. */
export interface Dispatcher {
  /** Offers the trip to a driver where there is one, together with those that come within the window. */
  dispatch(request: DispatchRequest): Promise<void>;
  /** The same for trips that have waited already. */
  dispatchTogether(requests: readonly DispatchRequest[]): Promise<void>;
}

const candidatesMax = 8;
const windowTripsMax = 64;
// The search takes no more drivers to leave out than this; a trip that so many refused is let go.
const askedDriversMax = 200;

/**
 * Finds drivers for the trips that wait. A round matches trips and drivers, then makes the offers: the
 * driver is held as they are at that moment, and the offer names the vehicle they are held with. A
 * driver who can't be held, or whom the database knows to be busy, drops out and the trips that still
 * have a choice go into the next round. Each round ends a trip's search or uses up an option, so there
 * is an end.
 */
export function createDispatcher(deps: DispatcherDeps): Dispatcher {
  const { store, transitions, drivers, router, clock, log, metrics, policy } = deps;
  const gather = createBatchWindow({ clock, windowMs: deps.windowMs, sizeMax: windowTripsMax, run });
  return { dispatch: gather, dispatchTogether: run };

  async function run(requests: readonly DispatchRequest[]): Promise<void> {
    const distinct = new Map(requests.map((request) => [request.tripId, request]));
    const found = await Promise.all(
      [...distinct.values()].map((request) => survive(request.tripId, search(request))),
    );
    const begun = found.filter((one) => one !== undefined);
    const considered = new Map(begun.map(({ trip, options }) => [trip.id, options]));
    for (let open = begun; open.length > 0; ) {
      const choices = chooseDrivers(open);
      const made = await Promise.all(
        choices.map((choice) => {
          const { id } = choice.search.trip;
          return survive(id, offer(choice, considered.get(id) ?? [], open.length));
        }),
      );
      const gone = new Set(choices.map(({ option }) => option.candidate.driverId));
      const ended = new Set(choices.filter((_, at) => made[at] !== 'taken').map(({ search }) => search));
      open = open
        .filter((one) => !ended.has(one))
        .map((one) => excludeDrivers(one, gone))
        .filter(({ options }) => options.length > 0);
    }
  }

  async function search({ tripId, version }: DispatchRequest): Promise<TripSearch | undefined> {
    const trip = await store.find(tripId);
    if (trip?.status !== 'requested' || trip.version !== version) return undefined;
    const { searchUntilMs, offeredDriverIds, fare } = trip;
    if (clock.nowMs() >= searchUntilMs || offeredDriverIds.length >= askedDriversMax) return undefined;
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

  /** `over`: the trip has its offer, by us or by another, or wants none any more. */
  async function offer(
    choice: DispatchChoice,
    considered: readonly DispatchOption[],
    open: number,
  ): Promise<'over' | 'taken'> {
    const { trip } = choice.search;
    const { driverId } = choice.option.candidate;
    const terms = { driverId, tripId: trip.id, version: trip.version };
    const { product } = trip.fare;
    const hold = await drivers
      .hold({ ...terms, product, ttlMs: policy.offerTimeoutMs })
      .catch(async (error: unknown) => {
        // Its answer may be all that was lost.
        await release(terms);
        throw error;
      });
    if (!hold.held) return 'taken';
    const driver = { id: driverId, vehicle: hold.vehicle };
    // A write of unknown outcome releases nothing: the hold then ends by the offer's event, or by its time.
    const moved = await transitions.apply(
      trip,
      { kind: 'offer', by: { actor: 'system' }, driver },
      dispatchDecisionOf(considered, choice, open),
    );
    if (moved.kind === 'moved') return 'over';
    await release(terms);
    return moved.kind === 'driver_taken' ? 'taken' : 'over';
  }

  async function release(terms: ReleaseRequest): Promise<void> {
    try {
      await drivers.release(terms);
    } catch (error) {
      log.warn({ ...terms, err: error }, 'a hold was not released; it ends by its time');
    }
  }

  async function survive<T>(tripId: TripId, work: Promise<T>): Promise<T | undefined> {
    try {
      return await work;
    } catch (error) {
      metrics.count('dispatch_failures_total');
      log.warn({ tripId, err: error }, 'a trip was not dispatched; its timer tries again');
      return undefined;
    }
  }
}
