import { formatTimestamp } from '@contracts/common.ts';
import type { DomainEvent, EventData, PaymentEventType, PaymentSnapshot } from '@contracts/events.ts';
import type { EventId } from '@contracts/ids.ts';
import type { PaymentStatus } from '@contracts/payments.ts';
import type { Ids } from '@platform/ids.ts';
import { amountOf, driverIdOf, type PaymentRecord, refundedAmountOf, type TripCharge } from './payment.ts';

/** Builds an event about the payment in `data`. */
export function createPaymentEvent<T extends PaymentEventType>(
  ids: Ids,
  type: T,
  data: EventData<T>,
): DomainEvent<T>;
export function createPaymentEvent(ids: Ids, type: PaymentEventType, data: EventData<PaymentEventType>) {
  return { id: ids<EventId>(), type, source: 'payment', subject: data.paymentId, time: data.at, data };
}

/** The payment as its events carry it, after `change` was applied. */
export function paymentSnapshotOf(
  record: PaymentRecord,
  change: { status: PaymentStatus; refundedMinor?: number; failureReason?: string },
  atMs: number,
): PaymentSnapshot {
  const { tripId, riderId, currency } = record;
  return {
    paymentId: record.id,
    tripId,
    riderId,
    driverId: driverIdOf(record),
    status: change.status,
    amount: amountOf(record),
    refunded:
      change.refundedMinor === undefined
        ? refundedAmountOf(record)
        : { amountMinor: change.refundedMinor, currency },
    failureReason: change.failureReason ?? null,
    at: formatTimestamp(atMs),
  };
}

/** The snapshot of a payment that is declined because the rider owes another payment. */
export const debtDeclinedSnapshot = (
  { id, tripId, riderId, amount }: TripCharge,
  atMs: number,
): PaymentSnapshot => ({
  paymentId: id,
  tripId,
  riderId,
  driverId: null,
  status: 'declined',
  amount,
  refunded: { amountMinor: 0, currency: amount.currency },
  failureReason: 'debt_outstanding',
  at: formatTimestamp(atMs),
});
