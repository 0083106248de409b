import { formatTimestamp } from '@contracts/common.ts';
import type { DomainEvent, TripEventType, TripSnapshot } from '@contracts/events.ts';
import type { Ids } from '@platform/ids.ts';
import type { TripTransition } from './state.ts';

/** What sends a trip to dispatch: it is created, or the driver who was asked or assigned does not come. */
export const dispatchEvents = [
  'trip.requested.v1',
  'trip.offer_declined.v1',
  'trip.offer_lapsed.v1',
  'trip.driver_replaced.v1',
] as const satisfies readonly TripEventType[];

export const needsDispatch = (event: TripEventType): boolean => dispatchEvents.some((type) => type === event);

/** The event that tells of a step. */
export function createTripEvent(ids: Ids, step: TripTransition): DomainEvent<TripEventType> {
  return {
    id: ids(),
    type: step.eventType,
    source: 'trip',
    subject: step.trip.id,
    time: formatTimestamp(step.historyEntry.atMs),
    data: snapshotOf(step),
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
  return {
    tripId: trip.id,
    version: trip.version,
    status: trip.status,
    riderId: trip.riderId,
    driverId: trip.driver?.id ?? null,
    vehicle: trip.driver?.vehicle ?? null,
    rider: trip.riderProfile,
    driver: trip.driverProfile,
    offeredDriverId,
    offerExpiresAt: trip.offer === null ? null : formatTimestamp(trip.offer.expiresAtMs),
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
    endedBy: trip.end?.by ?? null,
    // What an operator writes is kept in the history, for operators.
    reason:
      trip.end?.reason ??
      (replacedDriverId === null || historyEntry.actor === 'ops' ? null : historyEntry.reason),
    ...(historyEntry.from === 'in_progress' && previousStateSinceMs !== null
      ? { startedAt: formatTimestamp(previousStateSinceMs) }
      : {}),
    ...(fareRule === null ? {} : { fareRule }),
    at: formatTimestamp(historyEntry.atMs),
  };
}
