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

/** What the trip requires of its payment: hold the fare while it goes on, then charge it or void it. */
export type PaymentIntent = 'hold' | 'charge' | 'void';

/** A stored payment. Amounts are in minor units of `currency`, times in Unix milliseconds. */
export interface PaymentRecord {
  id: PaymentId;
  tripId: TripId;
  riderId: RiderId;
  /** Set when the trip is completed. */
  driverId: DriverId | null;
  status: PaymentStatus;
  intent: PaymentIntent;
  version: number;
  currency: Currency;
  amountMinor: number;
  commissionMinor: number;
  refundedMinor: number;
  /** Refunds that were accepted but not yet settled by the provider. */
  refundingMinor: number;
  failureReason: string | null;
  authorisationRef: string | null;
  captureRef: string | null;
  /** When the payment became a debt; null unless a charge of the completed trip has failed. */
  debtSinceMs: number | null;
  createdAtMs: number;
  updatedAtMs: number;
}

/** A payment with what a call to the provider needs. */
export interface Charge extends PaymentRecord {
  /** The amount that the current attempt authorises. */
  authoriseMinor: number;
  /** The number of the attempt, part of its provider keys. */
  attempt: number;
  /** When the open key of the attempt was first sent; null while no answer is awaited. */
  keyAtMs: number | null;
  /** When that key was last sent. */
  sentAtMs: number | null;
  /** The provider token of the card; null when the rider has no such payment method. */
  token: string | null;
  /** Increments with each claim: only the latest claimant may postpone the charge or give it up. */
  fence: number;
  /** The number of claims since the last change of status, this one included. */
  attempts: number;
}

/** What a trip event says about the payment of its trip. */
export interface TripCharge {
  /** The id that the payment gets when the trip has none yet. */
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

/** What a receipt shows in addition to the payment. */
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
  /** The number of the attempt in the provider key. */
  attempt: number;
  /** When that key was first sent. */
  keyAtMs: number;
  createdAtMs: number;
}

/** An authorisation or a capture at the provider that no payment needs, so it is voided or refunded. */
export interface Reversal {
  id: string;
  paymentId: PaymentId;
  kind: 'void' | 'refund';
  /** The provider's reference of what is reversed. */
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

/** Who reads a payment: its rider, its driver, or an operator, who may read every payment. */
export type Viewer = { role: 'rider' | 'driver'; id: PersonId } | { role: 'ops' };

export const amountOf = ({ amountMinor, currency }: PaymentRecord): Money => ({ amountMinor, currency });

export const fareShares = ({ amountMinor, commissionMinor }: PaymentRecord): FareShares => ({
  driverMinor: amountMinor - commissionMinor,
  commissionMinor,
});

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

/** The payment as its events carry it, after `change` was applied. */
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
