import { formatTimestamp } from '@contracts/common.ts';
import type { PersonId } from '@contracts/ids.ts';
import type { Payment, Receipt, Refund, RiderPayment } from '@contracts/payments.ts';
import {
  amountOf,
  driverIdOf,
  failureReasonOf,
  isCaptured,
  type PaymentRecord,
  type ReceiptDetails,
  type RefundRecord,
  refundedAmountOf,
} from './payment.ts';

/** Who reads a payment: its rider, its driver, or an operator, who may read every payment. */
export type Viewer = { role: 'rider' | 'driver'; id: PersonId } | { role: 'ops' };

/** Shows a payment by an allow-list of fields for each role (docs/security.md). */
export function showPayment(record: PaymentRecord, { role }: Viewer): Payment {
  switch (role) {
    case 'driver':
      return sharedView(record);
    case 'rider':
      return showPaymentToRider(record);
    case 'ops':
      return { ...showPaymentToRider(record), riderId: record.riderId, driverId: driverIdOf(record) };
  }
}

export const showPaymentToRider = (record: PaymentRecord): RiderPayment => ({
  ...sharedView(record),
  failureReason: failureReasonOf(record),
});

function sharedView(record: PaymentRecord) {
  const { id, tripId, status } = record;
  return {
    id,
    tripId,
    status,
    amount: amountOf(record),
    refunded: refundedAmountOf(record),
    createdAt: formatTimestamp(record.createdAtMs),
    updatedAt: formatTimestamp(record.updatedAtMs),
  };
}

export function showReceipt(record: PaymentRecord, details: ReceiptDetails): Receipt {
  const { id, tripId, status } = record;
  const { product, distanceMetres, durationSeconds, lines, completedAtMs } = details;
  return {
    tripId,
    paymentId: id,
    status,
    product,
    distanceMetres,
    durationSeconds,
    lines,
    total: amountOf(record),
    refunded: refundedAmountOf(record),
    completedAt: formatTimestamp(completedAtMs),
    capturedAt: isCaptured(record) ? formatTimestamp(record.capturedAtMs) : null,
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
