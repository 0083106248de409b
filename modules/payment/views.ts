import { formatTimestamp } from '@contracts/common.ts';
import type { PersonId } from '@contracts/ids.ts';
import type { Payment, Receipt, Refund, RiderPayment } from '@contracts/payments.ts';
import { amountOf, type PaymentRecord, type ReceiptDetails, type RefundRecord } from './payment.ts';

/** Who reads a payment: its rider, its driver, or an operator, who may read every payment. */
export type Viewer = { role: 'rider' | 'driver'; id: PersonId } | { role: 'ops' };

/** Shows a payment by an allow-list of fields for each role (docs/security.md). */
export function showPayment(record: PaymentRecord, { role }: Viewer): Payment {
  const { riderId, driverId, failureReason } = record;
  switch (role) {
    case 'driver':
      return sharedView(record);
    case 'rider':
      return showPaymentToRider(record);
    case 'ops':
      return { ...sharedView(record), failureReason, riderId, driverId };
  }
}

export const showPaymentToRider = (record: PaymentRecord): RiderPayment => ({
  ...sharedView(record),
  failureReason: record.failureReason,
});

function sharedView(record: PaymentRecord) {
  const { id, tripId, status, currency, refundedMinor } = record;
  return {
    id,
    tripId,
    status,
    amount: amountOf(record),
    refunded: { amountMinor: refundedMinor, currency },
    createdAt: formatTimestamp(record.createdAtMs),
    updatedAt: formatTimestamp(record.updatedAtMs),
  };
}

export function showReceipt(record: PaymentRecord, facts: ReceiptDetails): Receipt {
  const { id, tripId, status, currency, refundedMinor } = record;
  const { product, distanceMetres, durationSeconds, lines, completedAtMs, capturedAtMs } = facts;
  return {
    tripId,
    paymentId: id,
    status,
    product,
    distanceMetres,
    durationSeconds,
    lines,
    total: amountOf(record),
    refunded: { amountMinor: refundedMinor, currency },
    completedAt: formatTimestamp(completedAtMs),
    capturedAt: capturedAtMs === null ? null : formatTimestamp(capturedAtMs),
  };
}

export function showRefund({
  id,
  paymentId,
  amountMinor,
  currency,
  reason,
  createdAtMs,
}: RefundRecord): Refund {
  return {
    id,
    paymentId,
    amount: { amountMinor, currency },
    reason,
    createdAt: formatTimestamp(createdAtMs),
  };
}
