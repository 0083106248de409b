import { formatTimestamp } from '@contracts/common.ts';
import type { Product } from '@contracts/drivers.ts';
import type { PaymentSnapshot } from '@contracts/events.ts';
import type {
  DriverId,
  PaymentId,
  PaymentMethodId,
  PersonId,
  RefundId,
  RiderId,
  TripId,
} from '@contracts/ids.ts';
import type { Currency, Money } from '@contracts/money.ts';
import type { FareLine, Payment, PaymentStatus, Receipt, Refund, RiderPayment } from '@contracts/payments.ts';
import type { FareShares } from './ledger/transfers.ts';

/** What a trip wants of its payment: the fare held until it ends, then charged, or released. */
export type PaymentIntent = 'hold' | 'charge' | 'void';

/** A payment as it is kept. Amounts in minor units of `currency`, times in Unix ms. */
export interface PaymentRecord {
  id: PaymentId;
  tripId: TripId;
  riderId: RiderId;
  /** Known once the trip is completed. */
  driverId: DriverId | null;
  status: PaymentStatus;
  intent: PaymentIntent;
  version: number;
  currency: Currency;
  amountMinor: number;
  commissionMinor: number;
  refundedMinor: number;
  /** Refunds accepted, but not settled by the provider. */
  refundingMinor: number;
  failureReason: string | null;
  authorisationRef: string | null;
  captureRef: string | null;
  /** Since when the rider owes it; null unless a charge of the completed trip has failed. */
  debtSinceMs: number | null;
  createdAtMs: number;
  updatedAtMs: number;
}

/** What is needed to ask the provider for a payment. */
export interface Charge extends PaymentRecord {
  /** What the current attempt authorises. */
  authoriseMinor: number;
  /** The number of the attempt, in its provider keys. */
  attempt: number;
  /** When the open key of the attempt was first sent; null while no outcome is awaited. */
  keyAtMs: number | null;
  /** When it was last sent. */
  sentAtMs: number | null;
  /** The card; null when the rider has no such payment method. */
  token: string | null;
  /** Rises with each claim: only the latest claimant may put the charge off or give it up. */
  fence: number;
  /** Claims since the last step forward, this one included. */
  attempts: number;
}

/** What a trip event says of the payment of its trip. */
export interface TripCharge {
  /** Of the payment, if the trip has none yet. */
  id: PaymentId;
  tripId: TripId;
  riderId: RiderId;
  paymentMethodId: PaymentMethodId;
  amount: Money;
  product: Product;
  distanceMetres: number;
  durationSeconds: number;
  lines: FareLine[];
}

export interface CompletedCharge extends TripCharge {
  driverId: DriverId;
  commissionMinor: number;
  completedAtMs: number;
}

/** What the receipt shows beyond the payment. */
export interface ReceiptDetails {
  product: Product;
  distanceMetres: number;
  durationSeconds: number;
  lines: FareLine[];
  completedAtMs: number;
  capturedAtMs: number | null;
}

export interface RefundRecord {
  id: RefundId;
  paymentId: PaymentId;
  amountMinor: number;
  currency: Currency;
  reason: string;
  status: 'pending' | 'settled' | 'failed';
  fence: number;
  attempts: number;
  /** The number in its provider key. */
  attempt: number;
  /** When that key was first sent. */
  keyAtMs: number;
  createdAtMs: number;
}

/** Something at the provider that no payment needs, to be released or given back. */
export interface Reversal {
  id: string;
  paymentId: PaymentId;
  kind: 'void' | 'refund';
  /** The provider's name for what is reversed. */
  providerRef: string;
  amountMinor: number;
  currency: Currency;
  attempt: number;
  keyAtMs: number;
  fence: number;
  attempts: number;
}

export const isSettled = ({ status }: PaymentRecord): boolean =>
  status === 'captured' || status === 'refunded' || status === 'voided';

/** Who looks at a payment: its rider, its driver, or an operator, who sees all. */
export type Viewer = { role: 'rider' | 'driver'; id: PersonId } | { role: 'ops' };

export const amountOf = ({ amountMinor, currency }: PaymentRecord): Money => ({ amountMinor, currency });

export const fareShares = ({ amountMinor, commissionMinor }: PaymentRecord): FareShares => ({
  driverMinor: amountMinor - commissionMinor,
  commissionMinor,
});

/** What the viewer sees of a payment: an allow-list for each role (docs/security.md). */
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

/** The payment as an event tells it, right after `change`. */
export function paymentSnapshotOf(
  record: PaymentRecord,
  change: { status: PaymentStatus; refundedMinor?: number; failureReason?: string },
  atMs: number,
): PaymentSnapshot {
  const { tripId, riderId, driverId, currency } = record;
  return {
    paymentId: record.id,
    tripId,
    riderId,
    driverId,
    status: change.status,
    amount: amountOf(record),
    refunded: { amountMinor: change.refundedMinor ?? record.refundedMinor, currency },
    failureReason: change.failureReason ?? null,
    at: formatTimestamp(atMs),
  };
}

/** A trip that was requested by a rider who owes another payment. */
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
