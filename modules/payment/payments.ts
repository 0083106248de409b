import { timestamp } from '@contracts/common.ts';
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
import type { FareLine, Payment, PaymentStatus, Receipt, Refund } from '@contracts/payments.ts';
import type { Shares } from './ledger.ts';

/** A payment as it is kept. Amounts in minor units of `currency`, times in Unix ms. */
export interface PaymentRecord {
  id: PaymentId;
  tripId: TripId;
  riderId: RiderId;
  driverId: DriverId;
  status: PaymentStatus;
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
  createdAtMs: number;
  updatedAtMs: number;
}

/** A payment that a worker has taken for `leaseMs`. */
export interface Charge extends PaymentRecord {
  /** The card; null when the rider has no such payment method. */
  token: string | null;
  /** Rises with each claim: only the latest claimant may put the charge off or give it up. */
  fence: number;
  /** Claims since the last step forward, this one included. */
  attempts: number;
}

export interface NewPayment {
  id: PaymentId;
  tripId: TripId;
  riderId: RiderId;
  driverId: DriverId;
  paymentMethodId: PaymentMethodId;
  amount: Money;
  commissionMinor: number;
  product: Product;
  distanceMetres: number;
  durationSeconds: number;
  lines: FareLine[];
  completedAtMs: number;
}

/** What the receipt shows beyond the payment. */
export interface RideFacts {
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
  createdAtMs: number;
}

/** Who looks at a payment: its rider, its driver, or an operator, who sees all. */
export type Viewer = { role: 'rider' | 'driver'; id: PersonId } | { role: 'ops' };

export const amountOf = ({ amountMinor, currency }: PaymentRecord): Money => ({ amountMinor, currency });

export const capturedShares = ({ amountMinor, commissionMinor }: PaymentRecord): Shares => ({
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
      return { ...sharedView(record), failureReason };
    case 'ops':
      return { ...sharedView(record), failureReason, riderId, driverId };
  }
}

function sharedView(record: PaymentRecord) {
  const { id, tripId, status, currency, refundedMinor } = record;
  return {
    id,
    tripId,
    status,
    amount: amountOf(record),
    refunded: { amountMinor: refundedMinor, currency },
    createdAt: timestamp(record.createdAtMs),
    updatedAt: timestamp(record.updatedAtMs),
  };
}

export function showReceipt(record: PaymentRecord, facts: RideFacts): Receipt {
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
    completedAt: timestamp(completedAtMs),
    capturedAt: capturedAtMs === null ? null : timestamp(capturedAtMs),
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
  return { id, paymentId, amount: { amountMinor, currency }, reason, createdAt: timestamp(createdAtMs) };
}

/** The payment as an event tells it, right after `change`. */
export function snapshotOf(
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
    at: timestamp(atMs),
  };
}
