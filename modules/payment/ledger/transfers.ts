import type { DriverId, RiderId } from '@contracts/ids.ts';
import { basisPointsPerWhole, type Currency, type Money } from '@contracts/money.ts';

/**
 * The double-entry ledger. Amounts are signed minor units; positive means "owed to the account". When a
 * trip is completed, its fare is posted whatever the card does: the rider owes the fare (negative), the
 * driver is owed their share, and the platform its commission. A capture settles the account of the rider:
 * from then on the provider owes the fare (`provider:clearing` is negative). Every transfer sums to zero.
 */
export type LedgerAccount =
  | 'provider:clearing'
  | 'platform:commission'
  | `driver:${DriverId}`
  | `rider:${RiderId}`;

export interface Posting {
  account: LedgerAccount;
  amountMinor: number;
}

export interface LedgerTransfer {
  currency: Currency;
  postings: Posting[];
}

/** The split of a fare between driver and platform. */
export interface FareShares {
  driverMinor: number;
  commissionMinor: number;
}

export const driverAccountOf = (driverId: DriverId): LedgerAccount => `driver:${driverId}`;
const riderAccount = (riderId: RiderId): LedgerAccount => `rider:${riderId}`;

/**
 * Only accounts of riders and drivers have a running balance. The two house accounts take part in every
 * transfer: a balance row for one of them would make all captures wait for one row lock, which is held
 * until the commit is flushed to disk and so would defeat group commit. Nobody reads those sums on a hot
 * path. A person has one trip at a time, so their row is not contended.
 */
export const hasRunningBalance = (account: LedgerAccount): boolean =>
  account.startsWith('driver:') || account.startsWith('rider:');

/** Splits a fare. The commission is rounded down, so the driver gets the remainder. */
export function splitFare(amountMinor: number, commissionBasisPoints: number): FareShares {
  const commissionMinor = floorRatio(amountMinor, commissionBasisPoints, basisPointsPerWhole);
  return { driverMinor: amountMinor - commissionMinor, commissionMinor };
}

/**
 * Splits the next refund, given what was refunded before. It is the difference of two running totals, so
 * that any series of refunds reverses exactly what the fare posted once the whole amount is refunded.
 */
export function splitRefund(fare: FareShares, refundedBeforeMinor: number, refundMinor: number): FareShares {
  const totalMinor = fare.driverMinor + fare.commissionMinor;
  const driverAt = (refundedMinor: number) => floorRatio(refundedMinor, fare.driverMinor, totalMinor);
  const driverMinor = driverAt(refundedBeforeMinor + refundMinor) - driverAt(refundedBeforeMinor);
  return { driverMinor, commissionMinor: refundMinor - driverMinor };
}

/** Posted when the trip is completed, before anything is captured. */
export function createFareTransfer(
  { riderId, driverId }: { riderId: RiderId; driverId: DriverId },
  currency: Currency,
  { driverMinor, commissionMinor }: FareShares,
): LedgerTransfer {
  return transferOf(currency, [
    { account: riderAccount(riderId), amountMinor: -(driverMinor + commissionMinor) },
    { account: driverAccountOf(driverId), amountMinor: driverMinor },
    { account: 'platform:commission', amountMinor: commissionMinor },
  ]);
}

export function createCaptureTransfer(riderId: RiderId, { amountMinor, currency }: Money): LedgerTransfer {
  return transferOf(currency, [
    { account: 'provider:clearing', amountMinor: -amountMinor },
    { account: riderAccount(riderId), amountMinor },
  ]);
}

export function createRefundTransfer(
  driverId: DriverId,
  currency: Currency,
  shares: FareShares,
): LedgerTransfer {
  return transferOf(currency, [
    { account: 'provider:clearing', amountMinor: shares.driverMinor + shares.commissionMinor },
    { account: driverAccountOf(driverId), amountMinor: -shares.driverMinor },
    { account: 'platform:commission', amountMinor: -shares.commissionMinor },
  ]);
}

function transferOf(currency: Currency, postings: Posting[]): LedgerTransfer {
  const sum = postings.reduce((total, { amountMinor }) => total + amountMinor, 0);
  if (sum !== 0) throw new Error(`transfer sums to ${sum} ${currency} instead of zero`);
  return { currency, postings: postings.filter(({ amountMinor }) => amountMinor !== 0) };
}

/** ⌊amount × part ÷ whole⌋. The product of two amounts may exceed 2^53, hence BigInt. */
function floorRatio(amount: number, part: number, whole: number): number {
  return Number((BigInt(amount) * BigInt(part)) / BigInt(whole));
}
