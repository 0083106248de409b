import type { DomainEvent, PaymentEventType, TripEventType } from '@contracts/events.ts';
import { asPerson, type PersonId } from '@contracts/ids.ts';
import type { RideNews } from './rides/rides.ts';

/** What one person is told of an event. */
export interface Notification {
  personId: PersonId;
  /** The event's type without its version: `trip.assigned`. */
  event: string;
  /** The event's data, less what this person must not see. */
  data: Record<string, unknown>;
}

/** Who hears of an event, and what. Nobody hears of what only they did and can see in the answer. */
export function notificationsOf(event: DomainEvent): Notification[] {
  switch (event.type) {
    case 'trip.requested.v1':
    case 'trip.offer_declined.v1':
      return [];
    case 'trip.offered.v1':
    case 'trip.offer_lapsed.v1':
      return toAskedDriver(event);
    case 'trip.arrived.v1':
    case 'trip.started.v1':
      return toRider(event);
    case 'trip.assigned.v1':
    case 'trip.completed.v1':
      return [...toRider(event), ...toDriver(event)];
    case 'trip.driver_replaced.v1':
      return [...toRider(event), ...toReplacedDriver(event)];
    // A trip can also end while somebody is being asked: their offer ends with it.
    case 'trip.cancelled.v1':
    case 'trip.unfulfilled.v1':
      return [...toRider(event), ...toDriver(event), ...toAskedDriver(event)];
    case 'payment.captured.v1':
      return [...toPayer(event), ...toPayee(event)];
    case 'payment.failed.v1':
    case 'payment.refunded.v1':
      return toPayer(event);
  }
}

/** What operators see of a trip event: all but how the rider pays. Undefined for other events. */
export function operatorsView(
  event: DomainEvent,
): { event: string; data: Record<string, unknown> } | undefined {
  if (!isTripEvent(event)) return undefined;
  const { paymentMethodId: _method, quoteId: _quote, ...data } = event.data;
  return { event: nameOf(event), data };
}

/** Who may follow whom from this event on; undefined when it changes nothing about that. */
export function rideNewsOf(event: DomainEvent): RideNews | undefined {
  if (!isTripEvent(event)) return undefined;
  const { riderId, tripId, version, status, at } = event.data;
  const driverId = event.data.driverId ?? event.data.replacedDriverId;
  if (driverId === undefined) return undefined;
  const isUnderWay = status === 'assigned' || status === 'arrived' || status === 'in_progress';
  const follower = isUnderWay ? asPerson(riderId) : undefined;
  return { driverId, tripId, version, atMs: Date.parse(at), riderId: follower };
}

const isTripEvent = (event: DomainEvent): event is TripEvent => event.type.startsWith('trip.');

type TripEvent = DomainEvent<TripEventType>;
type PaymentEvent = DomainEvent<PaymentEventType>;

const nameOf = (event: DomainEvent): string => event.type.replace(/\.v\d+$/, '');

/** The rider sees the trip, but not who else was asked. */
function toRider(event: TripEvent): Notification[] {
  const { offeredDriverId: _asked, offerExpiresAt: _until, ...data } = event.data;
  return [{ personId: asPerson(event.data.riderId), event: nameOf(event), data }];
}

function toDriver(event: TripEvent): Notification[] {
  const { driverId } = event.data;
  return driverId === null
    ? []
    : [{ personId: asPerson(driverId), event: nameOf(event), data: driverView(event) }];
}

function toAskedDriver(event: TripEvent): Notification[] {
  const { offeredDriverId, driverId } = event.data;
  return offeredDriverId === null || offeredDriverId === driverId
    ? []
    : [{ personId: asPerson(offeredDriverId), event: nameOf(event), data: driverView(event) }];
}

function toReplacedDriver(event: TripEvent): Notification[] {
  const { replacedDriverId } = event.data;
  return replacedDriverId === undefined
    ? []
    : [{ personId: asPerson(replacedDriverId), event: nameOf(event), data: driverView(event) }];
}

/** Drivers see where, when and for how much; not who rides nor how they pay. */
function driverView(event: TripEvent): Record<string, unknown> {
  const {
    riderId: _rider,
    quoteId: _quote,
    paymentMethodId: _method,
    offeredDriverId: _asked,
    ...data
  } = event.data;
  return data;
}

function toPayer(event: PaymentEvent): Notification[] {
  return [{ personId: asPerson(event.data.riderId), event: nameOf(event), data: event.data }];
}

function toPayee(event: PaymentEvent): Notification[] {
  const { riderId: _rider, failureReason: _reason, ...data } = event.data;
  return [{ personId: asPerson(event.data.driverId), event: nameOf(event), data }];
}
