import type { TripId } from '@contracts/ids.ts';
import { createBatcher } from '@platform/batcher.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { isOutage } from '@platform/outage.ts';
import { problem } from '@platform/problems.ts';
import type { TripSettings } from '../settings.ts';
import type { CreationOutcome, TripCreation, TripStore } from '../store/store.ts';

export interface GroupedWritesDeps {
  store: TripStore;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  settings: Pick<TripSettings, 'TRIP_GROUP_MAX' | 'TRIP_GROUPS_MAX' | 'TRIP_CREATIONS_MAX'>;
}

// Half the time that a request may take by default: what has waited longer may not be answered any more.
const waitMsMax = 5_000;

/**
 * Creations that come at the same time are written by one statement. A rider's own come one after the
 * other: with all that can stand in a creation's way being the rider's (key, quote, trip under way),
 * no two of a group are in each other's way.
 */
export function createGroupedWrites(
  deps: GroupedWritesDeps,
): (creation: TripCreation) => Promise<CreationOutcome> {
  const { store, clock, log, metrics, settings } = deps;
  return createBatcher<TripCreation, CreationOutcome>({
    clock,
    keyOf: ({ transition }) => transition.trip.riderId,
    batchMax: settings.TRIP_GROUP_MAX,
    inFlightBatchesMax: settings.TRIP_GROUPS_MAX,
    pendingCallsMax: settings.TRIP_CREATIONS_MAX,
    waitMsMax,
    createOverloadError: () => problem('service.unavailable', { detail: 'too many trips are being created' }),
    async runBatch(creations) {
      const [only] = creations;
      if (only !== undefined && creations.length === 1) return [await store.create(only)];
      const created = await createTogether(creations);
      metrics.count('trip_creations_grouped_total', {}, created.size);
      return creations.map((creation) =>
        created.has(creation.transition.trip.id) ? 'created' : store.create(creation),
      );
    },
  });

  /** None, when one of them spoils the statement for all: each is then written by itself. */
  async function createTogether(creations: readonly TripCreation[]): Promise<ReadonlySet<TripId>> {
    try {
      return await store.createAll(creations);
    } catch (error) {
      if (isOutage(error)) throw error;
      metrics.count('trip_groups_spoilt_total');
      log.warn({ err: error, trips: creations.length }, 'trips could not be created together');
      return new Set();
    }
  }
}
