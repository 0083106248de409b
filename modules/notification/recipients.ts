import type { DomainEvent } from '@contracts/events.ts';
import { asPersonId, type DriverId, type PersonId, type RiderId } from '@contracts/ids.ts';
import type { FollowerUpdate } from './followers/trip-followers.ts';
import {
  type EventView,
  type PaymentDomainEvent,
  paymentForDriver,
  paymentForRider,
  type TripDomainEvent,
  tripForDriver,
  tripForOfferedDriver,
  tripForOperators,
  tripForReplacedDriver,
  tripForRider,
} from './views.ts';

/** What one person receives about an event. */
export interface Notification {
  personId: PersonId;
  /** The event's type without its version: `trip.assigned`. */
  event: string;
  /** The person's view of the event. */
  data: EventView;
}

/** The notifications for an event. People are not notified of their own actions when the HTTP response already shows the result. */
export function notificationsOf(event: DomainEvent): Notification[] {
  switch (event.type) {
    case 'trip.requested.v1':
    case 'trip.offer_declined.v1':
      return [];
    case 'trip.offered.v1':
    case 'trip.offer_lapsed.v1':
      return toOfferedDriver(event);
    case 'trip.arrived.v1':
    case 'trip.started.v1':
      return toRider(event);
    case 'trip.assigned.v1':
    case 'trip.completed.v1':
      return [...toRider(event), ...toDriver(event)];
    case 'trip.driver_replaced.v1':
      return [...toRider(event), ...toReplacedDriver(event)];
    // A trip can also end while an offer is open; the offer ends with it.
    case 'trip.cancelled.v1':
    case 'trip.unfulfilled.v1':
      return [...toRider(event), ...toDriver(event), ...toOfferedDriver(event)];
    case 'payment.captured.v1':
    case 'payment.failed.v1':
    case 'payment.refunded.v1':
      return [...toPayer(event), ...toPayee(event)];
    case 'payment.declined.v1':
    case 'payment.voided.v1':
      return toPayer(event);
    case 'user.signed_out.v1':
      return [];
  }
}

/** The operators' view of a trip event; undefined for other events. */
export function operatorViewOf(event: DomainEvent): { event: string; data: EventView } | undefined {
  return isTripEvent(event) ? { event: eventNameOf(event), data: tripForOperators(event) } : undefined;
}

/** Who may follow the driver from this event on; undefined if the event concerns no driver. */
export function followerUpdateOf(event: DomainEvent): FollowerUpdate | undefined {
  if (!isTripEvent(event)) return undefined;
  const { riderId, tripId, version, status, at } = event.data;
  const driverId = event.data.driverId ?? event.data.replacedDriverId;
  if (driverId === undefined) return undefined;
  const isActive = status === 'assigned' || status === 'arrived' || status === 'in_progress';
  const follower = isActive ? asPersonId(riderId) : undefined;
  return { driverId, tripId, version, atMs: Date.parse(at), riderId: follower };
}

const isTripEvent = (event: DomainEvent): event is TripDomainEvent => event.type.startsWith('trip.');

const eventNameOf = (event: DomainEvent): string => event.type.replace(/\.v\d+$/, '');

const toPerson = (id: RiderId | DriverId, event: DomainEvent, data: EventView): Notification[] => [
  { personId: asPersonId(id), event: eventNameOf(event), data },
];

const toRider = (event: TripDomainEvent) => toPerson(event.data.riderId, event, tripForRider(event));

function toDriver(event: TripDomainEvent): Notification[] {
  const { driverId } = event.data;
  return driverId === null ? [] : toPerson(driverId, event, tripForDriver(event));
}

function toOfferedDriver(event: TripDomainEvent): Notification[] {
  const { offeredDriverId, driverId } = event.data;
  if (offeredDriverId === null || offeredDriverId === driverId) return [];
  return toPerson(offeredDriverId, event, tripForOfferedDriver(event));
}

function toReplacedDriver(event: TripDomainEvent): Notification[] {
  const { replacedDriverId } = event.data;
  return replacedDriverId === undefined
    ? []
    : toPerson(replacedDriverId, event, tripForReplacedDriver(event));
}

const toPayer = (event: PaymentDomainEvent) => toPerson(event.data.riderId, event, paymentForRider(event));

/** Empty until the payment names a driver, which it does once the trip is completed. */
const toPayee = (event: PaymentDomainEvent) =>
  event.data.driverId === null ? [] : toPerson(event.data.driverId, event, paymentForDriver(event));
