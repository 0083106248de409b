import { formatTimestamp } from '@contracts/common.ts';
import type { DomainEvent, TripEventType, TripSnapshot } from '@contracts/events.ts';
import type { Ids } from '@platform/ids.ts';
import type { TripTransition } from './state.ts';
import { driverOf, endOf, offerOf } from './trip.ts';

/** Events after which a trip needs a driver: it was created, or it lost its offer or its driver. */
export const dispatchEvents = [
  'trip.requested.v1',
  'trip.offer_declined.v1',
  'trip.offer_lapsed.v1',
  'trip.driver_replaced.v1',
] as const satisfies readonly TripEventType[];

export const needsDispatch = (eventType: TripEventType): boolean =>
  dispatchEvents.some((type) => type === eventType);

/** Creates the event of a transition. */
export function createTripEvent(ids: Ids, transition: TripTransition): DomainEvent<TripEventType> {
  return {
    id: ids(),
    type: transition.eventType,
    source: 'trip',
    subject: transition.trip.id,
    time: formatTimestamp(transition.historyEntry.atMs),
    data: snapshotOf(transition),
  };
}

function snapshotOf({
  trip,
  offeredDriverId,
  replacedDriverId,
  historyEntry,
  previousStateSinceMs,
  fareRule,
}: TripTransition): TripSnapshot {
  const { fare } = trip;
  const [offer, driver, end] = [offerOf(trip), driverOf(trip), endOf(trip)];
  return {
    tripId: trip.id,
    version: trip.version,
    status: trip.status,
    riderId: trip.riderId,
    driverId: driver?.id ?? null,
    vehicle: driver?.vehicle ?? null,
    rider: trip.riderProfile,
    driver: driver?.profile ?? null,
    offeredDriverId,
    offerExpiresAt: offer === null ? null : formatTimestamp(offer.expiresAtMs),
    ...(replacedDriverId === null ? {} : { replacedDriverId }),
    quoteId: fare.quoteId,
    paymentMethodId: fare.paymentMethodId,
    product: fare.product,
    pickup: fare.pickup,
    dropoff: fare.dropoff,
    distanceMetres: fare.distanceMetres,
    durationSeconds: fare.durationSeconds,
    fare: fare.total,
    fareLines: [...fare.lines],
    endedBy: end?.by ?? null,
    // Reasons that operators give stay in the history, which only operators see.
    reason:
      end?.reason ?? (replacedDriverId === null || historyEntry.actor === 'ops' ? null : historyEntry.reason),
    ...(historyEntry.from === 'in_progress' && previousStateSinceMs !== null
      ? { startedAt: formatTimestamp(previousStateSinceMs) }
      : {}),
    ...(fareRule === null ? {} : { fareRule }),
    at: formatTimestamp(historyEntry.atMs),
  };
}
