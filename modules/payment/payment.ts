import type { Product } from '@contracts/drivers.ts';
import type { DriverId, PaymentId, PaymentMethodId, RefundId, RiderId, TripId } from '@contracts/ids.ts';
import type { Currency, Money } from '@contracts/money.ts';
import type { FareLine } from '@contracts/payments.ts';
import type { FareShares } from './ledger/transfers.ts';

/** What the trip requires of its payment: hold the fare while it goes on, then charge it or void it. */
export type PaymentIntent = 'hold' | 'charge' | 'void';

/** What every payment has. Amounts are in minor units of `currency`, times in Unix milliseconds. */
interface PaymentFields {
  id: PaymentId;
  tripId: TripId;
  riderId: RiderId;
  /** Increments with each change of status. */
  version: number;
  currency: Currency;
  /** The quoted fare until the trip is completed, then the final one. */
  amountMinor: number;
  createdAtMs: number;
  updatedAtMs: number;
}

/** The payment of a completed trip. */
interface CompletedTerms {
  intent: 'charge';
  driverId: DriverId;
  commissionMinor: number;
}

/** The terms of a payment whose provider operations are not finished. */
type OpenTerms =
  | { intent: 'hold' }
  | { intent: 'void' }
  /** `debtSinceMs`: when a charge of the completed trip first failed, if one has failed. */
  | (CompletedTerms & { debtSinceMs: number | null });

/** Nothing is authorised. */
type UnauthorisedPayment = PaymentFields & OpenTerms & { status: 'none' };
/** The provider holds the amount on the card. */
type AuthorisedPayment = PaymentFields & OpenTerms & { status: 'authorised'; authorisationRef: string };
/** The card was declined before the trip ended. */
type DeclinedPayment = PaymentFields & OpenTerms & { status: 'declined'; failureReason: string };
/** A charge of the completed trip has failed: its rider owes it. */
type FailedPayment = PaymentFields &
  CompletedTerms & {
    status: 'failed';
    failureReason: string;
    debtSinceMs: number;
    /** The authorisation whose capture was given up. */
    authorisationRef: string | null;
  };
/** The amount was captured; nothing of it or a part was refunded (`captured`), or all of it (`refunded`). */
export type CapturedPayment = PaymentFields &
  CompletedTerms & {
    status: 'captured' | 'refunded';
    captureRef: string;
    capturedAtMs: number;
    /** The authorisation of the latest attempt, which an older attempt does not use. */
    authorisationRef: string | null;
    refundedMinor: number;
    /** Refunds that were accepted but not yet settled by the provider. */
    refundingMinor: number;
  };
/** The trip ended without a charge, and nothing is held any more. */
type VoidedPayment = PaymentFields & { status: 'voided'; intent: 'void'; authorisationRef: string | null };

/** A stored payment: each status has exactly the fields that exist in it. */
export type PaymentRecord =
  | UnauthorisedPayment
  | AuthorisedPayment
  | DeclinedPayment
  | FailedPayment
  | CapturedPayment
  | VoidedPayment;

/** The state of the attempt that a payment is in. */
interface Attempt {
  /** The amount that the attempt authorises. */
  authoriseMinor: number;
  /** The number of the attempt, part of its provider keys. */
  attempt: number;
  /** When the open key of the attempt was sent; null while no answer is awaited. */
  openKey: { firstSentAtMs: number; lastSentAtMs: number } | null;
  /** The provider token of the card; null when the rider has no such payment method. */
  token: string | null;
  /** Increments with each claim: only the latest claimant may postpone the charge or give it up. */
  fence: number;
  /** The number of claims since the last change of status, this one included. */
  attempts: number;
}

/** A payment with what a call to the provider needs. */
export type Charge = PaymentRecord & Attempt;

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

export const amountOf = ({ amountMinor, currency }: PaymentRecord): Money => ({ amountMinor, currency });

export const fareSharesOf = ({ amountMinor, commissionMinor }: CapturedPayment): FareShares => ({
  driverMinor: amountMinor - commissionMinor,
  commissionMinor,
});

export const isCaptured = <Payment extends PaymentRecord>(
  payment: Payment,
): payment is Payment & CapturedPayment => payment.status === 'captured' || payment.status === 'refunded';

/** Whether the provider has nothing more to do for the payment itself. */
export const isSettled = (payment: PaymentRecord): boolean =>
  isCaptured(payment) || payment.status === 'voided';

/** The driver of the completed trip; null before. */
export const driverIdOf = (payment: PaymentRecord): DriverId | null =>
  payment.intent === 'charge' ? payment.driverId : null;

/** Since when the rider owes the payment; null when they do not. */
export const debtSinceMsOf = (payment: PaymentRecord): number | null =>
  payment.intent === 'charge' && !isCaptured(payment) ? payment.debtSinceMs : null;

/** The provider's reference of the latest authorisation, if the payment has one. */
export const authorisationRefOf = (payment: PaymentRecord): string | null =>
  payment.status === 'none' || payment.status === 'declined' ? null : payment.authorisationRef;

export const failureReasonOf = (payment: PaymentRecord): string | null =>
  payment.status === 'failed' || payment.status === 'declined' ? payment.failureReason : null;

export const refundedAmountOf = (payment: PaymentRecord): Money => ({
  amountMinor: isCaptured(payment) ? payment.refundedMinor : 0,
  currency: payment.currency,
});
