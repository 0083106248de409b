import type { TripId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import { fault } from '@platform/faults.ts';
import { groupCalls } from '@platform/group-calls.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { isOutage } from '@platform/outage.ts';
import type { TripSettings } from './settings.ts';
import type { Created, Creation, TripStore } from './store/store.ts';

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
export function createGroupedWrites(deps: GroupedWritesDeps): (creation: Creation) => Promise<Created> {
  const { store, clock, log, metrics, settings } = deps;
  return groupCalls<Creation, Created>({
    clock,
    keyOf: ({ step }) => step.trip.riderId,
    groupMax: settings.TRIP_GROUP_MAX,
    groupsMax: settings.TRIP_GROUPS_MAX,
    callsMax: settings.TRIP_CREATIONS_MAX,
    waitMsMax,
    overloaded: () => fault('service.unavailable', { detail: 'too many trips are being created' }),
    async run(creations) {
      const [only] = creations;
      if (only !== undefined && creations.length === 1) return [await store.create(only)];
      const created = await createTogether(creations);
      metrics.count('trip_creations_grouped_total', {}, created.size);
      return creations.map((creation) =>
        created.has(creation.step.trip.id) ? 'created' : store.create(creation),
      );
    },
  });

  /** None, when one of them spoils the statement for all: each is then written by itself. */
  async function createTogether(creations: readonly Creation[]): Promise<ReadonlySet<TripId>> {
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
