import type { DomainEvent, EventType } from '@contracts/events.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { Engagement } from './state.ts';

/** What trips publish that concerns a driver. This context publishes nothing: others ask it. */
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

/** What a trip event says about one driver; undefined when it names none. */
export function parseTripEvent({
  type,
  data,
}: DriverTripEvent): { driverId: DriverId; said: Engagement } | undefined {
  const { tripId, version, driverId, offeredDriverId, offerExpiresAt, replacedDriverId = null } = data;
  const atMs = Date.parse(data.at);
  const about = (driver: DriverId | null, phase: Engagement['phase'], untilMs: number | null = null) =>
    driver === null ? undefined : { driverId: driver, said: { tripId, version, phase, atMs, untilMs } };

  switch (type) {
    case 'trip.offered.v1':
      return about(offeredDriverId, 'held', offerExpiresAt === null ? atMs : Date.parse(offerExpiresAt));
    case 'trip.assigned.v1':
      return about(driverId, 'on_trip');
    case 'trip.offer_declined.v1':
    case 'trip.offer_lapsed.v1':
      return about(offeredDriverId, 'ended');
    case 'trip.driver_replaced.v1':
      return about(replacedDriverId, 'ended');
    case 'trip.completed.v1':
    case 'trip.cancelled.v1':
    case 'trip.unfulfilled.v1':
      // An end in the middle of an offer names the driver who was being asked.
      return about(driverId ?? offeredDriverId, 'ended');
  }
}
