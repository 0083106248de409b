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

/** Status and vehicle of drivers, changed by the drivers themselves and by trips. */
export function createDriverService(deps: DriverChangesDeps) {
  const { store, clock, log, metrics } = deps;
  const changes = createDriverChanges(deps);

  return {
    findDriver: async (driverId: DriverId): Promise<Driver> => viewOf(await changes.find(driverId)),

    /** Throws `driver.vehicle_required` and `driver.busy`. */
    async setStatus(driverId: DriverId, requestedStatus: RequestedStatus): Promise<Driver> {
      return viewOf(
        await changes.apply(driverId, 'driver', (state) =>
          stateAfter(requestStatus(state, requestedStatus, clock.nowMs()), state),
        ),
      );
    },

    /** Throws `driver.busy`. */
    async changeVehicle(driverId: DriverId, vehicle: Vehicle): Promise<Driver> {
      return viewOf(
        await changes.apply(driverId, 'driver', (state) => stateAfter(changeVehicle(state, vehicle), state)),
      );
    },

    /**
     * Holds the driver for a trip that is about to make its offer. The result has the vehicle that the offer
     * must name. The database decides by the driver's state at this moment; from then on, other trips and the
     * driver see them as held.
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

    /** Ends a hold that led to no offer. A hold whose release is lost expires. */
    async releaseDriver({ driverId, tripId, version }: ReleaseRequest): Promise<void> {
      const ended = { tripId, version, phase: 'ended', atMs: clock.nowMs(), untilMs: null } as const;
      await changes.apply(driverId, 'release', (state) => applyEngagement(state, ended));
    },

    /** Applies a trip event exactly once, in whatever order events arrive and however often. */
    async applyTripEvent(event: DriverTripEvent): Promise<void> {
      const claim = parseTripEvent(event);
      if (claim === undefined) return;
      const { driverId, engagement } = claim;
      const applied = { consumer: tripsConsumer, eventId: event.id };
      await changes.apply(driverId, event.type, (state) => applyEngagement(state, engagement), applied);
    },

    /** Takes a driver offline who signed out or was banned, unless they became available after that. */
    async applySignOut({ id: eventId, type, data }: SignOutEvent): Promise<void> {
      if (data.role !== 'driver') return;
      const atMs = Date.parse(data.at);
      const applied = { consumer: peopleConsumer, eventId };
      await changes.apply(asDriverId(data.personId), type, (state) => signOutDriver(state, atMs), applied);
    },

    /** Frees drivers whose offer expired, one batch per call; resolves to true when there may be more. */
    async expireOffers(): Promise<boolean> {
      const overdue = await store.findWithExpiredOffers(clock.nowMs(), overdueMax);
      // Concurrently, so that a slow row or index shard delays only its own driver.
      await Promise.all(
        overdue.map((driverId) => changes.apply(driverId, 'offer_expired', (state) => state)),
      );
      if (overdue.length > 0)
        log.warn({ drivers: overdue.length }, 'released drivers whose offers expired without an event');
      return overdue.length === overdueMax;
    },
  };
}

function stateAfter(decision: DriverDecision, state: DriverState): DriverState {
  switch (decision.kind) {
    case 'changed':
      return decision.state;
    case 'unchanged':
      return state;
    case 'refused':
      throw driverProblem(decision.code);
  }
}

const viewOf = ({ driverId, state, updatedAtMs }: StoredDriver): Driver => ({
  id: driverId,
  status: statusOf(state),
  vehicle: state.vehicle,
  tripId: currentEngagement(state)?.tripId ?? null,
  updatedAt: formatTimestamp(updatedAtMs),
});
