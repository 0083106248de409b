import { timestamp } from '@contracts/common.ts';
import { asPerson } from '@contracts/ids.ts';
import type { TripHistoryEntry, Trip as TripView } from '@contracts/trips.ts';
import type { HistoryEntry, Trip } from './trip.ts';

/** The trip as one of its people may see it. */
export function viewFor(trip: Trip, viewerId: string): TripView {
  const { fare, offer } = trip;
  const isRider = viewerId === trip.riderId;
  return {
    id: trip.id,
    status: trip.status,
    version: trip.version,
    quoteId: fare.quoteId,
    riderId: trip.riderId,
    driverId: trip.driver?.id ?? null,
    vehicle: trip.driver?.vehicle ?? null,
    product: fare.product,
    pickup: fare.pickup,
    dropoff: fare.dropoff,
    distanceMetres: fare.distanceMetres,
    durationSeconds: fare.durationSeconds,
    fare: fare.total,
    ...(isRider ? { startCode: trip.startCode } : {}),
    // The rider hears of a driver once there is one, not of everybody who was asked.
    offer:
      offer !== null && viewerId === offer.driver.id
        ? { driverId: offer.driver.id, expiresAt: timestamp(offer.expiresAtMs) }
        : null,
    endedBy: trip.end?.by ?? null,
    reason: trip.end?.reason ?? null,
    ratings: trip.ratings,
    createdAt: timestamp(trip.createdAtMs),
    updatedAt: timestamp(trip.updatedAtMs),
  };
}

export const historyView = ({ actorId, atMs, ...entry }: HistoryEntry): TripHistoryEntry => ({
  ...entry,
  actorId: actorId === null ? null : asPerson(actorId),
  at: timestamp(atMs),
});
