import type { DomainEvent, EventType } from '@contracts/events.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { Engagement } from './state.ts';

/** Trip events that concern a driver. This context publishes no events: others query it. */
export const tripEvents = [
  'trip.offered.v1',
  'trip.offer_declined.v1',
  'trip.offer_lapsed.v1',
  'trip.assigned.v1',
  'trip.driver_replaced.v1',
  'trip.completed.v1',
  'trip.cancelled.v1',
  'trip.unfulfilled.v1',
] as const satisfies readonly EventType[];
export type DriverTripEvent = DomainEvent<(typeof tripEvents)[number]>;

export const signOutEvents = ['user.signed_out.v1'] as const satisfies readonly EventType[];
export type SignOutEvent = DomainEvent<(typeof signOutEvents)[number]>;

/** The engagement of a driver that follows from a trip event; undefined when the event names no driver. */
export function parseTripEvent({
  type,
  data,
}: DriverTripEvent): { driverId: DriverId; engagement: Engagement } | undefined {
  const { tripId, version, driverId, offeredDriverId, offerExpiresAt, replacedDriverId = null } = data;
  const atMs = Date.parse(data.at);
  const engage = (driver: DriverId | null, phase: Engagement['phase'], untilMs: number | null = null) =>
    driver === null ? undefined : { driverId: driver, engagement: { tripId, version, phase, atMs, untilMs } };

  switch (type) {
    case 'trip.offered.v1':
      return engage(offeredDriverId, 'held', offerExpiresAt === null ? atMs : Date.parse(offerExpiresAt));
    case 'trip.assigned.v1':
      return engage(driverId, 'on_trip');
    case 'trip.offer_declined.v1':
    case 'trip.offer_lapsed.v1':
      return engage(offeredDriverId, 'ended');
    case 'trip.driver_replaced.v1':
      return engage(replacedDriverId, 'ended');
    case 'trip.completed.v1':
    case 'trip.cancelled.v1':
    case 'trip.unfulfilled.v1':
      // A trip that ends during an offer names the driver who has the offer.
      return engage(driverId ?? offeredDriverId, 'ended');
  }
}
