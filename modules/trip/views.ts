import { formatTimestamp } from '@contracts/common.ts';
import { asPersonId, type PersonId } from '@contracts/ids.ts';
import type { OperatorTrip, TripRecord } from '@contracts/operators.ts';
import type { DriverTrip, RiderTrip, TripHistoryEntry } from '@contracts/trips.ts';
import { isFinal } from './lifecycle/transition-rules.ts';
import { driverOf, endOf, type HistoryEntry, offerOf, type Trip, type TripRatings } from './trip.ts';

/*
 * What each role sees of a trip. Each view is an allow-list that names every field it shows; the reasons
 * are in docs/security.md. The views of pushed events are in modules/notification/views.ts.
 */

/** The view for a participant of the trip, or for the driver who has its offer. */
export const viewFor = (trip: Trip, viewerId: string): RiderTrip | DriverTrip =>
  viewerId === trip.riderId ? riderView(trip) : driverView(trip, viewerId);

export function riderView(trip: Trip): RiderTrip {
  const driver = driverOf(trip);
  const { byRider, byDriver } = ratingsOf(trip);
  return {
    ...sharedView(trip),
    quoteId: trip.fare.quoteId,
    startCode: trip.startCode,
    // The rider sees the assigned driver, never the drivers who only had an offer.
    driver: driver?.profile ?? null,
    vehicle: driver?.vehicle ?? null,
    reason: reasonForPeople(trip),
    ratings: { byRider, byDriver: byRider === null ? null : byDriver },
  };
}

/** Before accepting, a driver sees only what they need to decide. */
export function driverView(trip: Trip, driverId: string): DriverTrip {
  const [offer, driver] = [offerOf(trip), driverOf(trip)];
  const isAssigned = driver?.id === driverId;
  const { byRider, byDriver } = ratingsOf(trip);
  return {
    ...sharedView(trip),
    rider: isAssigned ? trip.riderProfile : null,
    vehicle: isAssigned ? driver.vehicle : null,
    offer: offer?.driver.id === driverId ? { expiresAt: formatTimestamp(offer.expiresAtMs) } : null,
    reason: reasonForPeople(trip),
    ratings: { byDriver, byRider: byDriver === null ? null : byRider },
  };
}

export function operatorView(trip: Trip, history: readonly HistoryEntry[]): TripRecord {
  const [offer, driver] = [offerOf(trip), driverOf(trip)];
  const shown: OperatorTrip = {
    ...sharedView(trip),
    quoteId: trip.fare.quoteId,
    riderId: trip.riderId,
    rider: trip.riderProfile,
    driverId: driver?.id ?? null,
    driver: driver?.profile ?? null,
    vehicle: (driver ?? offer?.driver)?.vehicle ?? null,
    offer:
      offer === null ? null : { driverId: offer.driver.id, expiresAt: formatTimestamp(offer.expiresAtMs) },
    offeredDriverIds: [...trip.offeredDriverIds],
    reason: endOf(trip)?.reason ?? null,
    ratings: ratingsOf(trip),
  };
  return { trip: shown, history: history.map(historyEntryView) };
}

/** The history for a participant: only their own id, and only the reasons that they may see. */
export const historyFor = (entries: readonly HistoryEntry[], viewerId: PersonId): TripHistoryEntry[] =>
  entries.map((entry) => {
    const isOwn = entry.actorId !== null && asPersonId(entry.actorId) === viewerId;
    // Participants do not see why a driver declined or lost the trip, nor the reasons that operators give.
    const isShown = isOwn || (isFinal(entry.to) && entry.actor !== 'ops');
    return {
      ...historyEntryView(entry),
      actorId: isOwn ? viewerId : null,
      reason: isShown ? entry.reason : null,
    };
  });

function sharedView(trip: Trip) {
  const { fare } = trip;
  return {
    id: trip.id,
    status: trip.status,
    version: trip.version,
    product: fare.product,
    pickup: fare.pickup,
    dropoff: fare.dropoff,
    distanceMetres: fare.distanceMetres,
    durationSeconds: fare.durationSeconds,
    fare: fare.total,
    endedBy: endOf(trip)?.by ?? null,
    createdAt: formatTimestamp(trip.createdAtMs),
    updatedAt: formatTimestamp(trip.updatedAtMs),
  };
}

const ratingsOf = (trip: Trip): TripRatings =>
  trip.status === 'completed' ? trip.ratings : { byRider: null, byDriver: null };

function reasonForPeople(trip: Trip): string | null {
  const end = endOf(trip);
  return end === null || end.by === 'ops' ? null : end.reason;
}

const historyEntryView = ({ version, from, to, actor, actorId, reason, atMs }: HistoryEntry) => ({
  version,
  from,
  to,
  actor,
  actorId: actorId === null ? null : asPersonId(actorId),
  reason,
  at: formatTimestamp(atMs),
});
