import type { Product, Vehicle } from '@contracts/drivers.ts';
import type { DriverId, PaymentMethodId, PersonId, QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { Currency } from '@contracts/money.ts';
import type { FareLine } from '@contracts/payments.ts';
import type { Actor, TripStatus } from '@contracts/trips.ts';
import type { AssignedDriver, HistoryEntry, Trip } from '../trip.ts';

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

export function tripRowOf({ fare, ...trip }: Trip): TripRow {
  return {
    id: trip.id,
    version: trip.version,
    status: trip.status,
    rider_id: trip.riderId,
    offered_driver_id: trip.offer?.driver.id ?? null,
    offer_expires_at_ms: trip.offer?.expiresAtMs ?? null,
    asked_driver_ids: trip.offeredDriverIds,
    driver_id: trip.driver?.id ?? null,
    vehicle: (trip.driver ?? trip.offer?.driver)?.vehicle ?? null,
    rider_first_name: trip.riderProfile.firstName,
    rider_rating: trip.riderProfile.rating,
    driver_name: trip.driverProfile?.name ?? null,
    driver_rating: trip.driverProfile?.rating ?? null,
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
    ended_by: trip.end?.by ?? null,
    end_reason: trip.end?.reason ?? null,
    rating_by_rider: trip.ratings.byRider,
    rating_by_driver: trip.ratings.byDriver,
    search_until_ms: trip.searchUntilMs,
    timer_at_ms: trip.timerAtMs,
    created_at_ms: trip.createdAtMs,
    updated_at_ms: trip.updatedAtMs,
  };
}

export function tripOf(row: TripRow): Trip {
  const offered = assignedDriver(row.offered_driver_id, row.vehicle);
  return {
    id: row.id,
    version: row.version,
    status: row.status,
    riderId: row.rider_id,
    offer: offered === null ? null : { driver: offered, expiresAtMs: row.offer_expires_at_ms ?? 0 },
    driver: assignedDriver(row.driver_id, row.vehicle),
    riderProfile: { firstName: row.rider_first_name, rating: row.rider_rating },
    driverProfile: row.driver_id === null ? null : { name: row.driver_name, rating: row.driver_rating },
    end: row.ended_by === null ? null : { by: row.ended_by, reason: row.end_reason },
    offeredDriverIds: row.asked_driver_ids,
    startCode: row.start_code,
    wrongStartCodes: row.wrong_start_codes,
    startBlockedUntilMs: row.start_blocked_until_ms,
    ratings: { byRider: row.rating_by_rider, byDriver: row.rating_by_driver },
    searchUntilMs: row.search_until_ms,
    timerAtMs: row.timer_at_ms,
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
  };
}

const assignedDriver = (id: DriverId | null, vehicle: Vehicle | null): AssignedDriver | null =>
  id === null || vehicle === null ? null : { id, vehicle };

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
