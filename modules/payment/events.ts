import type { DomainEvent, EventData, PaymentEventType } from '@contracts/events.ts';
import type { EventId, PaymentId } from '@contracts/ids.ts';
import { done, type Outcome } from '@platform/bus/bus.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Metrics } from '@platform/metrics.ts';
import { sharesOf } from './ledger.ts';
import type { NewPayment } from './payments.ts';
import type { PaymentStore } from './store.ts';

/** The queue of the events that this context acts on; also the consumer's name in the inbox. */
export const tripQueue = 'payment.trips';
export const tripEvents = ['trip.completed.v1'] as const;

/** An event of this context, about the payment in `data`. */
export function paymentEvent<T extends PaymentEventType>(
  ids: Ids,
  type: T,
  data: EventData<T>,
): DomainEvent<T>;
export function paymentEvent(ids: Ids, type: PaymentEventType, data: EventData<PaymentEventType>) {
  return { id: ids<EventId>(), type, source: 'payment', subject: data.paymentId, time: data.at, data };
}

export interface TripHandlerOptions {
  store: PaymentStore;
  clock: Clock;
  ids: Ids;
  metrics: Metrics;
  commissionPercent: number;
  /** Called when a payment waits to be charged. */
  onCreated: () => void;
}

/** A completed trip becomes a payment: one for each trip, however often and in whatever order it is told. */
export function createTripHandler(options: TripHandlerOptions) {
  const { store, clock, ids, metrics, commissionPercent, onCreated } = options;
  return async (event: DomainEvent<(typeof tripEvents)[number]>): Promise<Outcome> => {
    const { data: trip } = event;
    if (trip.driverId === null) return { kind: 'reject', reason: 'a completed trip without a driver' };
    if (trip.fare.amountMinor <= 0) return { kind: 'reject', reason: 'a completed trip without a fare' };
    const payment: NewPayment = {
      id: ids<PaymentId>(),
      tripId: trip.tripId,
      riderId: trip.riderId,
      driverId: trip.driverId,
      paymentMethodId: trip.paymentMethodId,
      amount: trip.fare,
      commissionMinor: sharesOf(trip.fare.amountMinor, commissionPercent).commissionMinor,
      product: trip.product,
      distanceMetres: trip.distanceMetres,
      durationSeconds: trip.durationSeconds,
      lines: trip.fareLines,
      completedAtMs: Date.parse(trip.at),
    };
    if (await store.payments.createForTrip(tripQueue, event.id, payment, clock.nowMs())) onCreated();
    else metrics.count('events_already_applied_total', { queue: tripQueue });
    return done;
  };
}
