import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { problem } from '@platform/problems.ts';
import type { PositionIndex } from './positions/index.ts';
import { type DriverState, expireOffers, newDriver } from './state.ts';
import { type AppliedEvent, availabilityOf, type DriverStore, type StoredDriver } from './store/drivers.ts';

export interface DriverChangesDeps {
  store: DriverStore;
  index: PositionIndex;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

export type DriverChanges = ReturnType<typeof createDriverChanges>;

// Only concurrent changes of one driver compete here: a few at most.
const attemptsMax = 8;

/**
 * The only way to change a driver's row. Each change is committed first and then written to the position
 * index. When the second write is lost, the database stays right, and the index reads it again at the first
 * position after `availabilityLeaseMs` (`offlineLeaseMs` when the index has the driver as offline). Until
 * then, searches check their candidates against the database, and holds are decided by it.
 */
export function createDriverChanges({ store, index, clock, log, metrics }: DriverChangesDeps) {
  return {
    find: async (driverId: DriverId): Promise<StoredDriver> =>
      (await store.find(driverId)) ?? createStoredDriver(driverId),

    /** Reads the driver, decides and writes. Starts again when another change was written in between. */
    async apply(
      driverId: DriverId,
      cause: string,
      decide: (state: DriverState) => DriverState,
      applied?: AppliedEvent,
    ): Promise<StoredDriver> {
      for (let attempt = 0; attempt < attemptsMax; attempt++) {
        const nowMs = clock.nowMs();
        const before = (await store.find(driverId)) ?? createStoredDriver(driverId);
        const state = expireOffers(decide(expireOffers(before.state, nowMs)), nowMs);
        if (state === before.state) {
          if (applied !== undefined && !(await store.claimEvent(applied, nowMs)))
            metrics.count('events_already_applied_total', { queue: applied.consumer });
          // The index is written even without a change, because an earlier write may have been lost.
          await updateIndex(before);
          return before;
        }
        const after = { driverId, version: before.version + 1, state, updatedAtMs: nowMs };
        if (await store.save({ before, after, cause, applied })) {
          await updateIndex(after);
          return after;
        }
      }
      throw problem('service.unavailable', { detail: 'too many concurrent changes of one driver' });
    },
  };

  /** Does not throw: the commit stands, and the next position corrects an index that missed it. */
  async function updateIndex(driver: StoredDriver): Promise<void> {
    try {
      await index.setAvailabilities([availabilityOf(driver)]);
    } catch (error) {
      metrics.count('driver_index_writes_lost_total');
      log.warn({ err: error }, 'failed to update the position index, the next position corrects it');
    }
  }

  function createStoredDriver(driverId: DriverId): StoredDriver {
    return { driverId, version: 0, state: newDriver, updatedAtMs: clock.nowMs() };
  }
}
