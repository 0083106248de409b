import { timestamp } from '@contracts/common.ts';
import type { DomainEvent, TripEventType, TripSnapshot } from '@contracts/events.ts';
import type { Ids } from '@platform/ids.ts';
import type { Step } from './state.ts';

/** What sends a trip to dispatch: it is created, or the driver who was asked or assigned does not come. */
export const dispatchEvents = [
  'trip.requested.v1',
  'trip.offer_declined.v1',
  'trip.offer_lapsed.v1',
  'trip.driver_replaced.v1',
] as const satisfies readonly TripEventType[];

export const wantsDispatch = (event: TripEventType): boolean => dispatchEvents.some((type) => type === event);

/** The event that tells of a step. */
export function tripEvent(ids: Ids, step: Step): DomainEvent<TripEventType> {
  return {
    id: ids(),
    type: step.event,
    source: 'trip',
    subject: step.trip.id,
    time: timestamp(step.entry.atMs),
    data: snapshotOf(step),
  };
}

function snapshotOf({
  trip,
  offeredDriverId,
  replacedDriverId,
  entry,
  sinceMs,
  fareRule,
}: Step): TripSnapshot {
  const { fare } = trip;
  return {
    tripId: trip.id,
    version: trip.version,
    status: trip.status,
    riderId: trip.riderId,
    driverId: trip.driver?.id ?? null,
    vehicle: trip.driver?.vehicle ?? null,
    rider: trip.riderCard,
    driver: trip.driverCard,
    offeredDriverId,
    offerExpiresAt: trip.offer === null ? null : timestamp(trip.offer.expiresAtMs),
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
    reason: trip.end?.reason ?? (replacedDriverId === null || entry.actor === 'ops' ? null : entry.reason),
    ...(entry.from === 'in_progress' && sinceMs !== null ? { startedAt: timestamp(sinceMs) } : {}),
    ...(fareRule === null ? {} : { fareRule }),
    at: timestamp(entry.atMs),
  };
}
