import type { TripId } from '@contracts/ids.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Dispatcher, DispatchRequest } from './dispatcher.ts';

export interface BackgroundSearchesDeps {
  dispatcher: Pick<Dispatcher, 'dispatchTogether'>;
  metrics: Metrics;
  /** Trips that are searched for at the same time; those beyond are left to their next timer. */
  inFlightMax: number;
}

/** Searches for drivers that their caller does not wait for. */
export interface BackgroundSearches {
  /**
   * Begins to search and returns at once. Trips that are begun in the same turn are matched together.
   * Nothing happens to a trip that is searched for already, or when too many are: its timer, which runs
   * until it has a driver, begins again.
   */
  start(request: DispatchRequest): void;
  /** Resolves once nothing that was begun is in flight. */
  whenIdle(): Promise<void>;
}

export function createBackgroundSearches({
  dispatcher,
  metrics,
  inFlightMax,
}: BackgroundSearchesDeps): BackgroundSearches {
  const inFlight = new Set<TripId>();
  const batches = new Set<Promise<void>>();
  let gathered: DispatchRequest[] = [];
  metrics.gauge('trip_searches_in_flight', () => inFlight.size);

  return {
    start(request) {
      if (inFlight.has(request.tripId)) return;
      if (inFlight.size >= inFlightMax) return metrics.count('trip_searches_postponed_total');
      inFlight.add(request.tripId);
      if (gathered.push(request) === 1) queueMicrotask(runGathered);
    },
    async whenIdle() {
      while (inFlight.size > 0) await Promise.all([...batches, Promise.resolve()]);
    },
  };

  function runGathered(): void {
    const batch = gathered;
    gathered = [];
    const running = dispatcher.dispatchTogether(batch).finally(() => {
      for (const { tripId } of batch) inFlight.delete(tripId);
      batches.delete(running);
    });
    batches.add(running);
  }
}
