import type { Product, Vehicle } from '@contracts/drivers.ts';
import type { DriverId, PaymentMethodId, PersonId, QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { Currency } from '@contracts/money.ts';
import type { FareLine } from '@contracts/payments.ts';
import type { Actor, TripStatus } from '@contracts/trips.ts';
import {
  type ActiveTrip,
  type AssignedDriver,
  driverOf,
  type EndedTrip,
  endOf,
  type HistoryEntry,
  offerOf,
  type Trip,
  type TripBase,
} from '../trip.ts';

/** A row of `trips`, as it is read and as it is written through `jsonb_populate_record`. */
export interface TripRow {
  id: TripId;
  version: number;
  status: TripStatus;
  rider_id: RiderId;
  offered_driver_id: DriverId | null;
  offer_expires_at_ms: number | null;
  asked_driver_ids: readonly DriverId[];
  driver_id: DriverId | null;
  vehicle: Vehicle | null;
  rider_first_name: string | null;
  rider_rating: number | null;
  driver_name: string | null;
  driver_rating: number | null;
  quote_id: QuoteId;
  payment_method_id: PaymentMethodId;
  product: Product;
  pickup_lat: number;
  pickup_lng: number;
  dropoff_lat: number;
  dropoff_lng: number;
  distance_metres: number;
  duration_seconds: number;
  fare_minor: number;
  fare_currency: Currency;
  fare_lines: readonly FareLine[];
  start_code: string;
  wrong_start_codes: number;
  start_blocked_until_ms: number;
  ended_by: Actor | null;
  end_reason: string | null;
  rating_by_rider: number | null;
  rating_by_driver: number | null;
  search_until_ms: number;
  timer_at_ms: number | null;
  created_at_ms: number;
  updated_at_ms: number;
}

export function tripRowOf(trip: Trip): TripRow {
  const { fare } = trip;
  const [offer, driver, end] = [offerOf(trip), driverOf(trip), endOf(trip)];
  const ratings = trip.status === 'completed' ? trip.ratings : null;
  return {
    id: trip.id,
    version: trip.version,
    status: trip.status,
    rider_id: trip.riderId,
    offered_driver_id: offer?.driver.id ?? null,
    offer_expires_at_ms: offer?.expiresAtMs ?? null,
    asked_driver_ids: trip.offeredDriverIds,
    driver_id: driver?.id ?? null,
    vehicle: (driver ?? offer?.driver)?.vehicle ?? null,
    rider_first_name: trip.riderProfile.firstName,
    rider_rating: trip.riderProfile.rating,
    driver_name: driver?.profile.name ?? null,
    driver_rating: driver?.profile.rating ?? null,
    quote_id: fare.quoteId,
    payment_method_id: fare.paymentMethodId,
    product: fare.product,
    pickup_lat: fare.pickup.lat,
    pickup_lng: fare.pickup.lng,
    dropoff_lat: fare.dropoff.lat,
    dropoff_lng: fare.dropoff.lng,
    distance_metres: fare.distanceMetres,
    duration_seconds: fare.durationSeconds,
    fare_minor: fare.total.amountMinor,
    fare_currency: fare.total.currency,
    fare_lines: fare.lines,
    start_code: trip.startCode,
    wrong_start_codes: trip.wrongStartCodes,
    start_blocked_until_ms: trip.startBlockedUntilMs,
    ended_by: end?.by ?? null,
    end_reason: end?.reason ?? null,
    rating_by_rider: ratings?.byRider ?? null,
    rating_by_driver: ratings?.byDriver ?? null,
    search_until_ms: trip.searchUntilMs,
    timer_at_ms: 'timerAtMs' in trip ? trip.timerAtMs : null,
    created_at_ms: trip.createdAtMs,
    updated_at_ms: trip.updatedAtMs,
  };
}

/** Parses a row. Throws if a column is empty that the status requires; the constraints of the table exclude it. */
export function tripOf(row: TripRow): Trip {
  switch (row.status) {
    case 'completed': {
      const ratings = { byRider: row.rating_by_rider, byDriver: row.rating_by_driver };
      return {
        ...baseOf(row),
        status: row.status,
        driver: assignedDriverOf(row),
        end: endOfRow(row),
        ratings,
      };
    }
    case 'cancelled': {
      const driver = row.driver_id === null ? null : assignedDriverOf(row);
      return { ...baseOf(row), status: row.status, driver, end: endOfRow(row) };
    }
    case 'unfulfilled':
      return { ...baseOf(row), status: row.status, end: endOfRow(row) };
    default:
      return activeTripOf(row);
  }
}

/** Parses the row of a trip that has not ended. Throws if it has ended. */
export function activeTripOf(row: TripRow): ActiveTrip {
  const timerAtMs = required(row, 'timer_at_ms');
  switch (row.status) {
    case 'requested':
      return { ...baseOf(row), status: row.status, timerAtMs };
    case 'offered': {
      const driver = { id: required(row, 'offered_driver_id'), vehicle: required(row, 'vehicle') };
      const offer = { driver, expiresAtMs: required(row, 'offer_expires_at_ms') };
      return { ...baseOf(row), status: row.status, timerAtMs, offer };
    }
    case 'assigned':
    case 'arrived':
    case 'in_progress':
      return { ...baseOf(row), status: row.status, timerAtMs, driver: assignedDriverOf(row) };
    default:
      throw new Error(`trip ${row.id} is ${row.status} and has a timer`);
  }
}

const baseOf = (row: TripRow): TripBase => ({
  id: row.id,
  version: row.version,
  riderId: row.rider_id,
  riderProfile: { firstName: row.rider_first_name, rating: row.rider_rating },
  offeredDriverIds: row.asked_driver_ids,
  startCode: row.start_code,
  wrongStartCodes: row.wrong_start_codes,
  startBlockedUntilMs: row.start_blocked_until_ms,
  searchUntilMs: row.search_until_ms,
  createdAtMs: row.created_at_ms,
  updatedAtMs: row.updated_at_ms,
  fare: {
    quoteId: row.quote_id,
    paymentMethodId: row.payment_method_id,
    product: row.product,
    pickup: { lat: row.pickup_lat, lng: row.pickup_lng },
    dropoff: { lat: row.dropoff_lat, lng: row.dropoff_lng },
    distanceMetres: row.distance_metres,
    durationSeconds: row.duration_seconds,
    total: { amountMinor: row.fare_minor, currency: row.fare_currency },
    lines: row.fare_lines,
  },
});

const assignedDriverOf = (row: TripRow): AssignedDriver => ({
  id: required(row, 'driver_id'),
  vehicle: required(row, 'vehicle'),
  profile: { name: row.driver_name, rating: row.driver_rating },
});

const endOfRow = (row: TripRow): EndedTrip['end'] => ({
  by: required(row, 'ended_by'),
  reason: row.end_reason,
});

function required<Column extends keyof TripRow>(row: TripRow, column: Column): NonNullable<TripRow[Column]> {
  const value = row[column];
  if (value === null || value === undefined)
    throw new Error(`trip ${row.id} is ${row.status} without ${column}`);
  return value;
}

export interface HistoryRow {
  trip_id: TripId;
  version: number;
  from_status: TripStatus | null;
  to_status: TripStatus;
  actor: Actor;
  actor_id: RiderId | DriverId | PersonId | null;
  reason: string | null;
  at_ms: number;
}

export const historyRowOf = (tripId: TripId, entry: HistoryEntry): HistoryRow => ({
  trip_id: tripId,
  version: entry.version,
  from_status: entry.from,
  to_status: entry.to,
  actor: entry.actor,
  actor_id: entry.actorId,
  reason: entry.reason,
  at_ms: entry.atMs,
});

export const historyEntryOf = (row: HistoryRow): HistoryEntry => ({
  version: row.version,
  from: row.from_status,
  to: row.to_status,
  actor: row.actor,
  actorId: row.actor_id,
  reason: row.reason,
  atMs: row.at_ms,
});
