import type { DomainEvent, PaymentEventType, TripEventType } from '@contracts/events.ts';

/*
 * What each person sees of an event. Each view is an allow-list that names every field it shows; docs/security.md
 * gives the reasons. The views of the REST API are in modules/trip/views.ts.
 */

export type TripDomainEvent = DomainEvent<TripEventType>;
export type PaymentDomainEvent = DomainEvent<PaymentEventType>;
export type EventView = Record<string, unknown>;

export const tripForRider = ({ data }: TripDomainEvent): EventView => ({
  ...tripForBoth(data),
  driver: data.driver ?? null,
});

export const tripForDriver = ({ data }: TripDomainEvent): EventView => ({
  ...tripForBoth(data),
  rider: data.rider ?? null,
});

/** For a driver with an open or ended offer: what they need to decide, and when the offer expires. */
export const tripForOfferedDriver = ({ data }: TripDomainEvent): EventView => ({
  ...routeAndFare(data),
  offerExpiresAt: data.offerExpiresAt,
});

/** For a driver who was replaced: that the trip continues without them, and why. */
export const tripForReplacedDriver = ({ data }: TripDomainEvent): EventView => {
  const { tripId, version, status, reason, at } = data;
  return { tripId, version, status, reason, at };
};

/** For operators who are subscribed to all trips: people by id only, and no payment details. */
export const tripForOperators = ({ data }: TripDomainEvent): EventView => {
  const { riderId, driverId, vehicle, offeredDriverId, offerExpiresAt, replacedDriverId = null } = data;
  const { endedBy, reason, startedAt = null, fareRule = null } = data;
  return {
    ...routeAndFare(data),
    ...{ riderId, driverId, vehicle, offeredDriverId, offerExpiresAt, replacedDriverId },
    ...{ endedBy, reason, startedAt, fareRule },
  };
};

/** The rider pays, so they see why a payment failed. */
export const paymentForRider = ({ data }: PaymentDomainEvent): EventView => ({
  ...paymentForBoth(data),
  failureReason: data.failureReason,
});

export const paymentForDriver = ({ data }: PaymentDomainEvent): EventView => paymentForBoth(data);

function tripForBoth(data: TripDomainEvent['data']) {
  const { vehicle, endedBy } = data;
  // Before the end, a reason concerns the driver alone. Reasons written by operators are for operators.
  const reason = endedBy === null || endedBy === 'ops' ? null : data.reason;
  return { ...routeAndFare(data), vehicle, endedBy, reason };
}

function routeAndFare(data: TripDomainEvent['data']) {
  const { tripId, version, status, product, pickup, dropoff, distanceMetres, durationSeconds, fare, at } =
    data;
  return { tripId, version, status, product, pickup, dropoff, distanceMetres, durationSeconds, fare, at };
}

function paymentForBoth({ paymentId, tripId, status, amount, refunded, at }: PaymentDomainEvent['data']) {
  return { paymentId, tripId, status, amount, refunded, at };
}
