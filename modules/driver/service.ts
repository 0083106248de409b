import { timestamp } from '@contracts/common.ts';
import type { Driver, Vehicle } from '@contracts/drivers.ts';
import type { DriverId, EventId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import { fault as commonFault } from '@platform/faults.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { fault } from './errors.ts';
import { type HeardEvent, readTripEvent } from './events.ts';
import type { PositionIndex } from './positions/index.ts';
import {
  type Decision,
  type DriverState,
  drive,
  engage,
  expireOffers,
  newDriver,
  occupation,
  statusOf,
  type Wish,
  wish,
} from './state.ts';
import { type DriverStore, type StoredDriver, standingOf, tripsConsumer } from './store.ts';

export interface DriverServiceOptions {
  store: DriverStore;
  index: PositionIndex;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

export type DriverService = ReturnType<typeof createDriverService>;

// Only events of one driver that are handled at the same time meet here: a few at most.
const attemptsMax = 8;
const overdueMax = 100;

/**
 * Status and vehicle of drivers, as they wish and as trips have it. Each change is committed first and
 * then told to the position index; when that second write is lost, the database is right and the index
 * asks it again within `standingLeaseMs` of positions (`offlineLeaseMs` when it thinks he is offline).
 * Until then candidates are checked against the database, so the index alone never gets anybody asked.
 */
export function createDriverService({ store, index, clock, log, metrics }: DriverServiceOptions) {
  return {
    async me(driverId: DriverId): Promise<Driver> {
      return show((await store.find(driverId)) ?? stranger(driverId));
    },

    /** Throws `driver.vehicle_required` and `driver.busy`. */
    async setStatus(driverId: DriverId, wants: Wish): Promise<Driver> {
      return show(await change(driverId, 'driver', (state) => settle(wish(state, wants), state)));
    },

    /** Throws `driver.busy`. */
    async setVehicle(driverId: DriverId, vehicle: Vehicle): Promise<Driver> {
      return show(await change(driverId, 'driver', (state) => settle(drive(state, vehicle), state)));
    },

    /** Applies a trip event once, whenever and however often it comes. */
    async hear(event: HeardEvent): Promise<void> {
      const heard = readTripEvent(event);
      if (heard === undefined) return;
      const { driverId, said } = heard;
      await change(driverId, event.type, (state) => engage(state, said), event.id);
      if (said.phase === 'ended') await tellIndex(() => index.release(driverId, said.tripId));
    },

    /** Frees drivers whom an offer held for too long, some at a time; resolves to true when there may be more. */
    async expireOffers(): Promise<boolean> {
      const overdue = await store.overdue(clock.nowMs(), overdueMax);
      for (const driverId of overdue) await change(driverId, 'offer_expired', (state) => state);
      if (overdue.length > 0) log.warn({ drivers: overdue.length }, 'offers ran out without a word');
      return overdue.length === overdueMax;
    },
  };

  /** Reads, decides, and writes unless somebody else was faster: then again, on what they left. */
  async function change(
    driverId: DriverId,
    cause: string,
    decide: (state: DriverState) => DriverState,
    eventId?: EventId,
  ): Promise<StoredDriver> {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const nowMs = clock.nowMs();
      const before = (await store.find(driverId)) ?? stranger(driverId);
      const state = expireOffers(decide(expireOffers(before.state, nowMs)), nowMs);
      if (state === before.state) {
        if (eventId !== undefined && !(await store.note(eventId, nowMs)))
          metrics.count('events_already_applied_total', { queue: tripsConsumer });
        // Told again nevertheless: the last time may have been lost.
        await tellIndex(() => index.setStandings([standingOf(before)]));
        return before;
      }
      const after = { driverId, version: before.version + 1, state, updatedAtMs: nowMs };
      if (await store.save({ before, after, cause, eventId })) {
        await tellIndex(() => index.setStandings([standingOf(after)]));
        return after;
      }
    }
    throw commonFault('service.unavailable', { detail: 'too many changes of one driver at the same time' });
  }

  /** The commit stands: what the index misses it learns from the next position. */
  async function tellIndex(tell: () => Promise<void>): Promise<void> {
    try {
      await tell();
    } catch (error) {
      metrics.count('driver_index_writes_lost_total');
      log.warn({ err: error }, 'the position index was not told; the next position mends it');
    }
  }

  function stranger(driverId: DriverId): StoredDriver {
    return { driverId, version: 0, state: newDriver, updatedAtMs: clock.nowMs() };
  }
}

function settle(decision: Decision, state: DriverState): DriverState {
  switch (decision.kind) {
    case 'changed':
      return decision.state;
    case 'unchanged':
      return state;
    case 'refused':
      throw fault(decision.code);
  }
}

const show = ({ driverId, state, updatedAtMs }: StoredDriver): Driver => ({
  id: driverId,
  status: statusOf(state),
  vehicle: state.vehicle,
  tripId: occupation(state)?.tripId ?? null,
  updatedAt: timestamp(updatedAtMs),
});
