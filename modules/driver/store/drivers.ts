import type { DriverStatus, Product, Vehicle } from '@contracts/drivers.ts';
import type { DriverId, EventId } from '@contracts/ids.ts';
import type { Database, Sql } from '@platform/postgres/database.ts';
import { claimEvent, jsonbParameter } from '@platform/postgres/statements.ts';
import type { DriverAvailability } from '../positions/index.ts';
import {
  currentEngagement,
  type DriverState,
  type Engagement,
  offersExpireAtMs,
  type RequestedStatus,
  statusOf,
} from '../state.ts';

export interface StoredDriver {
  driverId: DriverId;
  /** 0 when the driver has no row. */
  version: number;
  state: DriverState;
  updatedAtMs: number;
}

/** The event that a change applies, and the consumer whose inbox records it. */
export interface AppliedEvent {
  consumer: string;
  eventId: EventId;
}

export interface DriverChange {
  before: StoredDriver;
  after: StoredDriver;
  /** What caused it: `driver`, `hold`, `release`, `offer_expired`, or the type of an event. */
  cause: string;
  applied?: AppliedEvent | undefined;
}

export type DriverStore = ReturnType<typeof createDriverStore>;

export const tripsConsumer = 'driver.trips';
export const peopleConsumer = 'driver.people';

interface DriverRow {
  version: number;
  wants: RequestedStatus;
  wants_at_ms: number;
  vehicle: Vehicle | null;
  engagements: Engagement[];
  forgotten_until_ms: number;
  updated_at_ms: number;
}

export function createDriverStore({ primary: sql }: Database) {
  return {
    ...createPeriodicQueries(sql),

    async find(driverId: DriverId): Promise<StoredDriver | undefined> {
      const [row] = await sql<DriverRow[]>`
        select version, wants, wants_at_ms, vehicle, engagements, forgotten_until_ms, updated_at_ms
        from drivers where id = ${driverId}`;
      if (row === undefined) return undefined;
      return { driverId, version: row.version, state: stateOf(row), updatedAtMs: row.updated_at_ms };
    },

    /**
     * Writes the driver, the history row and the inbox row of the event in one statement. Returns false, and
     * writes nothing, when the row is no longer at `before.version`.
     */
    async save({ before, after, cause, applied }: DriverChange): Promise<boolean> {
      const { driverId, version, state, updatedAtMs } = after;
      const tripId = currentEngagement(state)?.tripId ?? null;
      const claimed =
        applied === undefined
          ? sql``
          : sql`claimed as (${claimEvent(sql, applied.consumer, applied.eventId, updatedAtMs, 'saved')}),`;
      const rows = await sql`
        with saved as (
          insert into drivers (id, version, status, trip_id, wants, wants_at_ms, vehicle, engagements,
            forgotten_until_ms, offers_expire_at_ms, updated_at_ms)
          values (${driverId}, ${version}, ${statusOf(state)}, ${tripId}, ${state.requestedStatus}, ${state.requestedAtMs},
            ${state.vehicle === null ? null : jsonbParameter(sql, state.vehicle)}, ${jsonbParameter(sql, state.engagements)},
            ${state.forgottenUntilMs}, ${offersExpireAtMs(state)}, ${updatedAtMs})
          on conflict (id) do update set
            version = excluded.version, status = excluded.status, trip_id = excluded.trip_id,
            wants = excluded.wants, wants_at_ms = excluded.wants_at_ms, vehicle = excluded.vehicle, engagements = excluded.engagements,
            forgotten_until_ms = excluded.forgotten_until_ms,
            offers_expire_at_ms = excluded.offers_expire_at_ms, updated_at_ms = excluded.updated_at_ms
          where drivers.version = ${before.version}
          returning id),
        ${claimed}
        recorded as (
          insert into driver_history (driver_id, version, from_status, to_status, cause, trip_id, at_ms)
          select id, ${version}::integer, ${statusOf(before.state)}::text, ${statusOf(state)}::text,
                 ${cause}::text, ${tripId}::uuid, ${updatedAtMs}::bigint
          from saved)
        select id from saved`;
      return rows.length === 1;
    },

    /** Adds the inbox row of an event that changes nothing; false when the event was applied before. */
    async claimEvent({ consumer, eventId }: AppliedEvent, nowMs: number): Promise<boolean> {
      return (await claimEvent(sql, consumer, eventId, nowMs)).length > 0;
    },

    /** The availability of these drivers for the position index; drivers without a row are offline. */
    async loadAvailabilities(driverIds: readonly DriverId[]): Promise<DriverAvailability[]> {
      const rows = await sql<
        { id: DriverId; version: number; status: DriverStatus; product: Product | null }[]
      >`
        select id, version, status, vehicle->>'product' as product
        from drivers where id = any(${[...driverIds]}::uuid[])`;
      const byId = new Map(rows.map((row) => [row.id, row]));
      return driverIds.map((driverId) => {
        const { version = 0, status = 'offline' as const, product = null } = byId.get(driverId) ?? {};
        return toAvailability(driverId, version, status, product);
      });
    },
  };
}

const stateOf = (row: DriverRow): DriverState => ({
  requestedStatus: row.wants,
  requestedAtMs: row.wants_at_ms,
  vehicle: row.vehicle,
  engagements: row.engagements,
  forgottenUntilMs: row.forgotten_until_ms,
});

/** Queries of the periodic jobs. */
function createPeriodicQueries(sql: Sql) {
  return {
    /** Deletes up to `rowsMax` history rows from before `beforeMs`, oldest first; returns how many. */
    async sweepHistory(beforeMs: number, rowsMax: number): Promise<number> {
      const deleted = await sql`
        delete from driver_history where ctid = any(array(
          select ctid from driver_history where at_ms < ${beforeMs} order by at_ms limit ${rowsMax}))`;
      return deleted.count;
    },

    /** Drivers held by an expired offer, the longest overdue first. */
    async findWithExpiredOffers(nowMs: number, limit: number): Promise<DriverId[]> {
      const rows = await sql<{ id: DriverId }[]>`
        select id from drivers where offers_expire_at_ms < ${nowMs}
        order by offers_expire_at_ms limit ${limit}`;
      return rows.map(({ id }) => id);
    },
  };
}

export const availabilityOf = ({ driverId, version, state }: StoredDriver): DriverAvailability =>
  toAvailability(driverId, version, statusOf(state), state.vehicle?.product ?? null);

function toAvailability(
  driverId: DriverId,
  version: number,
  status: DriverStatus,
  product: Product | null,
): DriverAvailability {
  const availability = status === 'held' || status === 'on_trip' ? 'busy' : status;
  return { driverId, version, availability, product };
}
