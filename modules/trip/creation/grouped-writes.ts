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

// Half the default request timeout: a creation that has waited longer may come too late for a response.
const waitMsMax = 5_000;

/**
 * Writes creations that arrive at the same time in one statement. Creations of the same rider are written
 * one after the other. Everything that a creation can conflict with belongs to its rider (key, quote,
 * active trip), so no two creations of a group conflict.
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

  /** Returns no ids if one creation fails the statement for all: each is then written by itself. */
  async function createTogether(creations: readonly TripCreation[]): Promise<ReadonlySet<TripId>> {
    try {
      return await store.createAll(creations);
    } catch (error) {
      if (isOutage(error)) throw error;
      metrics.count('trip_groups_spoilt_total');
      log.warn(
        { err: error, trips: creations.length },
        'failed to create trips as a group, creating them one by one',
      );
      return new Set();
    }
  }
}
