import type { DomainEvent, TripSnapshot } from '@contracts/events.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { TripStatus } from '@contracts/trips.ts';
import { sampleTripEvent } from '@testing/events.ts';
import type { TestPayment } from './harness.ts';

/** The events of one trip that the payment context handles, as the trip context publishes them. */
export interface TripEvents {
  tripId: TripSnapshot['tripId'];
  requested: DomainEvent<'trip.requested.v1'>;
  completed: DomainEvent<'trip.completed.v1'>;
  cancelled: DomainEvent<'trip.cancelled.v1'>;
  unfulfilled: DomainEvent<'trip.unfulfilled.v1'>;
}

export function createTripEvents(
  { clock, ids }: Pick<TestPayment, 'clock' | 'ids'>,
  trip: Partial<TripSnapshot> = {},
): TripEvents {
  const fare = trip.fare ?? { amountMinor: 64_000, currency: 'VND' as const };
  const changes = {
    tripId: ids<TripSnapshot['tripId']>(),
    fare,
    fareLines: [{ kind: 'base' as const, amountMinor: fare.amountMinor }],
    ...trip,
  };
  const eventOf = <
    T extends 'trip.requested.v1' | 'trip.completed.v1' | 'trip.cancelled.v1' | 'trip.unfulfilled.v1',
  >(
    type: T,
    version: number,
    status: TripStatus,
    driverId: DriverId | null,
  ): DomainEvent<T> => {
    const sample = sampleTripEvent<T>({ type, version, timeMs: clock.nowMs() });
    return { ...sample, subject: changes.tripId, data: { ...sample.data, status, driverId, ...changes } };
  };
  return {
    tripId: changes.tripId,
    requested: eventOf('trip.requested.v1', 1, 'requested', null),
    completed: eventOf('trip.completed.v1', 6, 'completed', ids<DriverId>()),
    cancelled: eventOf('trip.cancelled.v1', 2, 'cancelled', null),
    unfulfilled: eventOf('trip.unfulfilled.v1', 2, 'unfulfilled', null),
  };
}
