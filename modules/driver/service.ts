import { timestamp } from '@contracts/common.ts';
import type { Driver, HoldRequest, HoldResult, ReleaseRequest, Vehicle } from '@contracts/drivers.ts';
import { asDriver, type DriverId } from '@contracts/ids.ts';
import { createDriverChanges, type DriverChangesOptions } from './changes.ts';
import { fault } from './errors.ts';
import { type HeardEvent, readTripEvent, type SignOutEvent } from './events.ts';
import {
  type Decision,
  type DriverState,
  drive,
  engage,
  hold,
  occupation,
  signOut,
  statusOf,
  type Wish,
  wish,
} from './state.ts';
import { peopleConsumer, type StoredDriver, tripsConsumer } from './store.ts';

export type DriverService = ReturnType<typeof createDriverService>;

const overdueMax = 100;

/** Status and vehicle of drivers, as they request them and as trips have it. */
export function createDriverService(options: DriverChangesOptions) {
  const { store, clock, log, metrics } = options;
  const changes = createDriverChanges(options);

  return {
    me: async (driverId: DriverId): Promise<Driver> => show(await changes.find(driverId)),

    /** Throws `driver.vehicle_required` and `driver.busy`. */
    async setStatus(driverId: DriverId, wants: Wish): Promise<Driver> {
      return show(
        await changes.apply(driverId, 'driver', (state) => settle(wish(state, wants, clock.nowMs()), state)),
      );
    },

    /** Throws `driver.busy`. */
    async setVehicle(driverId: DriverId, vehicle: Vehicle): Promise<Driver> {
      return show(await changes.apply(driverId, 'driver', (state) => settle(drive(state, vehicle), state)));
    },

    /**
     * Keeps the driver for a trip that is about to make its offer, with the vehicle that the offer must
     * name. The database decides on what the driver is at that moment: other trips, and the driver, find
     * them held from here on.
     */
    async hold({ driverId, ttlMs, ...terms }: HoldRequest): Promise<HoldResult> {
      let result: HoldResult = { held: false };
      await changes.apply(driverId, 'hold', (state) => {
        const atMs = clock.nowMs();
        const held = hold(state, { ...terms, atMs, untilMs: atMs + ttlMs });
        result = held === undefined ? { held: false } : { held: true, vehicle: held.vehicle };
        return held?.state ?? state;
      });
      metrics.count('driver_holds_total', { held: result.held ? 'yes' : 'no' });
      return result;
    },

    /** Ends a hold that led to no offer. A lost one ends by its time. */
    async release({ driverId, tripId, version }: ReleaseRequest): Promise<void> {
      const ended = { tripId, version, phase: 'ended', atMs: clock.nowMs(), untilMs: null } as const;
      await changes.apply(driverId, 'release', (state) => engage(state, ended));
    },

    /** Applies a trip event once, whenever and however often it comes. */
    async hear(event: HeardEvent): Promise<void> {
      const heard = readTripEvent(event);
      if (heard === undefined) return;
      const { driverId, said } = heard;
      const applied = { consumer: tripsConsumer, eventId: event.id };
      await changes.apply(driverId, event.type, (state) => engage(state, said), applied);
    },

    /** Takes a driver who has signed out, or was banned, off the map, unless they came back since. */
    async signOut({ id: eventId, type, data }: SignOutEvent): Promise<void> {
      if (data.role !== 'driver') return;
      const atMs = Date.parse(data.at);
      const applied = { consumer: peopleConsumer, eventId };
      await changes.apply(asDriver(data.personId), type, (state) => signOut(state, atMs), applied);
    },

    /** Frees drivers whom an offer held for too long, some at a time; resolves to true when there may be more. */
    async expireOffers(): Promise<boolean> {
      const overdue = await store.overdue(clock.nowMs(), overdueMax);
      // Side by side: a row or an index shard that is slow holds up its own driver only.
      await Promise.all(
        overdue.map((driverId) => changes.apply(driverId, 'offer_expired', (state) => state)),
      );
      if (overdue.length > 0) log.warn({ drivers: overdue.length }, 'offers ran out without a word');
      return overdue.length === overdueMax;
    },
  };
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
