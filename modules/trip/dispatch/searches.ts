import type { TripId } from '@contracts/ids.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { DispatchRequest } from './request.ts';

export interface BackgroundSearchesDeps {
  dispatcher: Pick<Dispatcher, 'dispatchTogether'>;
  metrics: Metrics;
  /** Searches in flight at most. Trips beyond that are left to their next timer. */
  inFlightMax: number;
}

/** Searches for drivers in the background: the caller does not wait for them. */
export interface BackgroundSearches {
  /**
   * Starts a search and returns at once. Trips started in the same microtask are matched together. Does
   * nothing if a search for the trip is in flight, or too many are: the timer of the trip, which runs
   * until the trip has a driver, starts a search again.
   */
  start(request: DispatchRequest): void;
  /** Resolves once no search is in flight. */
  whenIdle(): Promise<void>;
}

export function createBackgroundSearches({
  dispatcher,
  metrics,
  inFlightMax,
}: BackgroundSearchesDeps): BackgroundSearches {
  const inFlight = new Set<TripId>();
  const batches = new Set<Promise<void>>();
  let pending: DispatchRequest[] = [];
  metrics.gauge('trip_searches_in_flight', () => inFlight.size);

  return {
    start(request) {
      if (inFlight.has(request.tripId)) return;
      if (inFlight.size >= inFlightMax) return metrics.count('trip_searches_postponed_total');
      inFlight.add(request.tripId);
      if (pending.push(request) === 1) queueMicrotask(runBatch);
    },
    async whenIdle() {
      while (inFlight.size > 0) await Promise.all([...batches, Promise.resolve()]);
    },
  };

  function runBatch(): void {
    const batch = pending;
    pending = [];
    const running = dispatcher.dispatchTogether(batch).finally(() => {
      for (const { tripId } of batch) inFlight.delete(tripId);
      batches.delete(running);
    });
    batches.add(running);
  }
}
