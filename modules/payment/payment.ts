import type { Product } from '@contracts/drivers.ts';
import type { DriverId, PaymentId, PaymentMethodId, RefundId, RiderId, TripId } from '@contracts/ids.ts';
import type { Currency, Money } from '@contracts/money.ts';
import type { FareLine, PaymentStatus } from '@contracts/payments.ts';
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

export const amountOf = ({ amountMinor, currency }: PaymentRecord): Money => ({ amountMinor, currency });

export const fareSharesOf = ({ amountMinor, commissionMinor }: PaymentRecord): FareShares => ({
  driverMinor: amountMinor - commissionMinor,
  commissionMinor,
});
