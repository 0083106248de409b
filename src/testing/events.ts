import type { DomainEvent, SignedOut, TripEventType, TripSnapshot } from '@contracts/events.ts';
import type {
  DriverId,
  EventId,
  PaymentMethodId,
  PersonId,
  QuoteId,
  RiderId,
  TripId,
} from '@contracts/ids.ts';
import type { RiderTrip } from '@contracts/trips.ts';
import { systemClock } from '@platform/clock.ts';
import { createIds } from '@platform/ids.ts';
import { systemRandom } from '@platform/random.ts';

const newId = createIds(systemClock, systemRandom);

/** A valid trip event, for tests in which its content does not matter. */
export function sampleTripEvent<T extends TripEventType = 'trip.requested.v1'>(
  options: { type?: T; subject?: string; version?: number; timeMs?: number; reason?: string } = {},
): DomainEvent<T> {
  const tripId = newId<TripId>();
  const time = new Date(options.timeMs ?? systemClock.nowMs()).toISOString();
  const data: TripSnapshot = {
    tripId,
    version: options.version ?? 1,
    status: 'requested',
    riderId: newId<RiderId>(),
    driverId: newId<DriverId>(),
    vehicle: { product: 'car', plate: '51A-123.45', model: 'Vios', colour: 'white' },
    rider: { firstName: 'An', rating: 4.9 },
    driver: { name: 'Trần Bình', rating: 4.7 },
    offeredDriverId: null,
    offerExpiresAt: null,
    quoteId: newId<QuoteId>(),
    paymentMethodId: newId<PaymentMethodId>(),
    product: 'car',
    pickup: { lat: 10.77, lng: 106.7 },
    dropoff: { lat: 10.8, lng: 106.65 },
    distanceMetres: 5_400,
    durationSeconds: 900,
    fare: { amountMinor: 64_000, currency: 'VND' },
    fareLines: [{ kind: 'base', amountMinor: 64_000 }],
    endedBy: null,
    reason: options.reason ?? null,
    at: time,
  };
  const type = options.type ?? 'trip.requested.v1';
  // All trip events have the same shape, which the compiler can't derive from the union.
  return {
    id: newId<EventId>(),
    type,
    source: 'trip',
    subject: options.subject ?? tripId,
    time,
    data,
  } as DomainEvent<T>;
}

/** The event that a person has signed out, or was banned, at `atMs`. */
export function signedOutEvent(
  personId: string,
  { cause = 'logout', role = 'driver', atMs }: Partial<Omit<SignedOut, 'at'>> & { atMs: number },
): DomainEvent<'user.signed_out.v1'> {
  const at = new Date(atMs).toISOString();
  const data: SignedOut = { personId: personId as PersonId, role, cause, at };
  return {
    id: newId<EventId>(),
    type: 'user.signed_out.v1',
    source: 'user',
    subject: personId,
    time: at,
    data,
  };
}

/** A trip in the rider's view, for tests in which its content does not matter. */
export function sampleTrip(version = 1): RiderTrip {
  const { data } = sampleTripEvent();
  const { tripId: id, quoteId, product, pickup, dropoff, distanceMetres, durationSeconds, fare } = data;
  return {
    ...{ id, version, quoteId, product, pickup, dropoff, distanceMetres, durationSeconds, fare },
    status: 'requested',
    driver: null,
    vehicle: null,
    startCode: '4711',
    endedBy: null,
    reason: null,
    ratings: { byRider: null, byDriver: null },
    createdAt: data.at,
    updatedAt: data.at,
  };
}
