import type { DomainEvent, TripSnapshot } from '../../src/contracts/events.ts';
import type {
  DriverId,
  EventId,
  PaymentMethodId,
  QuoteId,
  RiderId,
  TripId,
} from '../../src/contracts/ids.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { systemRandom } from '../../src/platform/random.ts';

const newId = createIds(systemClock, systemRandom);

/** A typical trip event of about 800 bytes of JSON. Each call has a new trip. */
export function sampleEvent(): DomainEvent<'trip.requested.v1'> {
  const tripId = newId<TripId>();
  const time = new Date(systemClock.nowMs()).toISOString();
  const data: TripSnapshot = {
    tripId,
    version: 1,
    status: 'requested',
    riderId: newId<RiderId>(),
    driverId: newId<DriverId>(),
    vehicle: { product: 'car', plate: '51A-123.45', model: 'Vios', colour: 'white' },
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
    reason: null,
    at: time,
  };
  return { id: newId<EventId>(), type: 'trip.requested.v1', source: 'bench', subject: tripId, time, data };
}
