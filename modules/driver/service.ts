import { formatTimestamp } from '@contracts/common.ts';
import type { Driver, HoldRequest, HoldResult, ReleaseRequest, Vehicle } from '@contracts/drivers.ts';
import { asDriverId, type DriverId } from '@contracts/ids.ts';
import { createDriverChanges, type DriverChangesDeps } from './changes.ts';
import { driverProblem } from './errors.ts';
import { type DriverTripEvent, parseTripEvent, type SignOutEvent } from './events.ts';
import {
  applyEngagement,
  changeVehicle,
  currentEngagement,
  type DriverDecision,
  type DriverState,
  holdDriver,
  type RequestedStatus,
  requestStatus,
  signOutDriver,
  statusOf,
} from './state.ts';
import { peopleConsumer, type StoredDriver, tripsConsumer } from './store/drivers.ts';

export type DriverService = ReturnType<typeof createDriverService>;

const overdueMax = 100;

/** Status and vehicle of drivers, as they request them and as trips have it. */
export function createDriverService(options: DriverChangesDeps) {
  const { store, clock, log, metrics } = options;
  const changes = createDriverChanges(options);

  return {
    findDriver: async (driverId: DriverId): Promise<Driver> => show(await changes.find(driverId)),

    /** Throws `driver.vehicle_required` and `driver.busy`. */
    async setStatus(driverId: DriverId, wants: RequestedStatus): Promise<Driver> {
      return show(
        await changes.apply(driverId, 'driver', (state) =>
          settle(requestStatus(state, wants, clock.nowMs()), state),
        ),
      );
    },

    /** Throws `driver.busy`. */
    async changeVehicle(driverId: DriverId, vehicle: Vehicle): Promise<Driver> {
      return show(
        await changes.apply(driverId, 'driver', (state) => settle(changeVehicle(state, vehicle), state)),
      );
    },

    /**
     * Keeps the driver for a trip that is about to make its offer, with the vehicle that the offer must
     * name. The database decides on what the driver is at that moment: other trips, and the driver, find
     * them held from here on.
     */
    async holdDriver({ driverId, ttlMs, ...terms }: HoldRequest): Promise<HoldResult> {
      let result: HoldResult = { held: false };
      await changes.apply(driverId, 'hold', (state) => {
        const atMs = clock.nowMs();
        const held = holdDriver(state, { ...terms, atMs, untilMs: atMs + ttlMs });
        result = held === undefined ? { held: false } : { held: true, vehicle: held.vehicle };
        return held?.state ?? state;
      });
      metrics.count('driver_holds_total', { held: result.held ? 'yes' : 'no' });
      return result;
    },

    /** Ends a hold that led to no offer. A lost one ends by its time. */
    async releaseDriver({ driverId, tripId, version }: ReleaseRequest): Promise<void> {
      const ended = { tripId, version, phase: 'ended', atMs: clock.nowMs(), untilMs: null } as const;
      await changes.apply(driverId, 'release', (state) => applyEngagement(state, ended));
    },

    /** Applies a trip event once, whenever and however often it comes. */
    async applyTripEvent(event: DriverTripEvent): Promise<void> {
      const heard = parseTripEvent(event);
      if (heard === undefined) return;
      const { driverId, said } = heard;
      const applied = { consumer: tripsConsumer, eventId: event.id };
      await changes.apply(driverId, event.type, (state) => applyEngagement(state, said), applied);
    },

    /** Takes a driver who has signed out, or was banned, off the map, unless they came back since. */
    async applySignOut({ id: eventId, type, data }: SignOutEvent): Promise<void> {
      if (data.role !== 'driver') return;
      const atMs = Date.parse(data.at);
      const applied = { consumer: peopleConsumer, eventId };
      await changes.apply(asDriverId(data.personId), type, (state) => signOutDriver(state, atMs), applied);
    },

    /** Frees drivers whom an offer held for too long, some at a time; resolves to true when there may be more. */
    async expireOffers(): Promise<boolean> {
      const overdue = await store.findWithExpiredOffers(clock.nowMs(), overdueMax);
      // Side by side: a row or an index shard that is slow holds up its own driver only.
      await Promise.all(
        overdue.map((driverId) => changes.apply(driverId, 'offer_expired', (state) => state)),
      );
      if (overdue.length > 0) log.warn({ drivers: overdue.length }, 'offers ran out without a word');
      return overdue.length === overdueMax;
    },
  };
}

function settle(decision: DriverDecision, state: DriverState): DriverState {
  switch (decision.kind) {
    case 'changed':
      return decision.state;
    case 'unchanged':
      return state;
    case 'refused':
      throw driverProblem(decision.code);
  }
}

const show = ({ driverId, state, updatedAtMs }: StoredDriver): Driver => ({
  id: driverId,
  status: statusOf(state),
  vehicle: state.vehicle,
  tripId: currentEngagement(state)?.tripId ?? null,
  updatedAt: formatTimestamp(updatedAtMs),
});
