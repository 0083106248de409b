import type { DriverId, EventId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { problem as commonFault } from '@platform/problems.ts';
import type { PositionIndex } from './positions/index.ts';
import { type DriverState, expireOffers, newDriver } from './state.ts';
import { availabilityOf, type DriverStore, type StoredDriver } from './store/drivers.ts';

export interface DriverChangesDeps {
  store: DriverStore;
  index: PositionIndex;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/** The event that a change applies, and the consumer that applies it. */
export interface AppliedEvent {
  consumer: string;
  eventId: EventId;
}

export type DriverChanges = ReturnType<typeof createDriverChanges>;

// Only changes of one driver that are made at the same time meet here: a few at most.
const attemptsMax = 8;

/**
 * The one way in which a driver's row changes. Each change is committed first and then written to the
 * position index; when that second write is lost, the database is right and the index asks it again
 * within `availabilityLeaseMs` of positions (`offlineLeaseMs` when it has the driver as offline). Until then
 * candidates are checked against the database, and a hold is decided by it.
 */
export function createDriverChanges({ store, index, clock, log, metrics }: DriverChangesDeps) {
  return {
    find: async (driverId: DriverId): Promise<StoredDriver> =>
      (await store.find(driverId)) ?? unknownDriver(driverId),

    /** Reads, decides, and writes unless another change came first: then again, on what it left. */
    async apply(
      driverId: DriverId,
      cause: string,
      decide: (state: DriverState) => DriverState,
      applied?: AppliedEvent,
    ): Promise<StoredDriver> {
      for (let attempt = 0; attempt < attemptsMax; attempt++) {
        const nowMs = clock.nowMs();
        const before = (await store.find(driverId)) ?? unknownDriver(driverId);
        const state = expireOffers(decide(expireOffers(before.state, nowMs)), nowMs);
        if (state === before.state) {
          if (applied !== undefined && !(await store.claimEvent(applied, nowMs)))
            metrics.count('events_already_applied_total', { queue: applied.consumer });
          // Written again nevertheless: the last time may have been lost.
          await updateIndex(before);
          return before;
        }
        const after = { driverId, version: before.version + 1, state, updatedAtMs: nowMs };
        if (await store.save({ before, after, cause, applied })) {
          await updateIndex(after);
          return after;
        }
      }
      throw commonFault('service.unavailable', { detail: 'too many changes of one driver at the same time' });
    },
  };

  /** The commit stands: what the index misses it learns from the next position. */
  async function updateIndex(driver: StoredDriver): Promise<void> {
    try {
      await index.setAvailabilities([availabilityOf(driver)]);
    } catch (error) {
      metrics.count('driver_index_writes_lost_total');
      log.warn({ err: error }, 'the position index was not updated; the next position mends it');
    }
  }

  function unknownDriver(driverId: DriverId): StoredDriver {
    return { driverId, version: 0, state: newDriver, updatedAtMs: clock.nowMs() };
  }
}
