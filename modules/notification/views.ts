import type { DomainEvent, PaymentEventType, TripEventType } from '@contracts/events.ts';

/*
 * What each person sees of an event. Each view is an allow-list: it names every field that it shows, and
 * docs/security.md says why. Trips are shown over REST by the lists of modules/trip/views.ts.
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

/** For a driver who is asked, or was: what they need to decide, and that the offer is over. */
export const tripForOfferedDriver = ({ data }: TripDomainEvent): EventView => ({
  ...wayAndFare(data),
  offerExpiresAt: data.offerExpiresAt,
});

/** For the driver without whom the trip goes on: that it does, and why. */
export const tripForReplacedDriver = ({ data }: TripDomainEvent): EventView => {
  const { tripId, version, status, reason, at } = data;
  return { tripId, version, status, reason, at };
};

/** For operators who follow all trips: people by id only, and not how the trip is paid. */
export const tripForOperators = ({ data }: TripDomainEvent): EventView => {
  const { riderId, driverId, vehicle, offeredDriverId, offerExpiresAt, replacedDriverId = null } = data;
  const { endedBy, reason, startedAt = null, fareRule = null } = data;
  return {
    ...wayAndFare(data),
    ...{ riderId, driverId, vehicle, offeredDriverId, offerExpiresAt, replacedDriverId },
    ...{ endedBy, reason, startedAt, fareRule },
  };
};

/** The rider paid: they learn why it failed. */
export const paymentForRider = ({ data }: PaymentDomainEvent): EventView => ({
  ...paymentForBoth(data),
  failureReason: data.failureReason,
});

export const paymentForDriver = ({ data }: PaymentDomainEvent): EventView => paymentForBoth(data);

function tripForBoth(data: TripDomainEvent['data']) {
  const { vehicle, endedBy } = data;
  // Before the end a reason is about the driver alone, and what an operator writes is for operators.
  const reason = endedBy === null || endedBy === 'ops' ? null : data.reason;
  return { ...wayAndFare(data), vehicle, endedBy, reason };
}

function wayAndFare(data: TripDomainEvent['data']) {
  const { tripId, version, status, product, pickup, dropoff, distanceMetres, durationSeconds, fare, at } =
    data;
  return { tripId, version, status, product, pickup, dropoff, distanceMetres, durationSeconds, fare, at };
}

function paymentForBoth({ paymentId, tripId, status, amount, refunded, at }: PaymentDomainEvent['data']) {
  return { paymentId, tripId, status, amount, refunded, at };
}
