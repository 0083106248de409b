import type { DriverId, RiderId } from '@contracts/ids.ts';
import { basisPointsPerWhole, type Currency, type Money } from '@contracts/money.ts';

/**
 * Double entry. Amounts are signed minor units and positive means "owed to the account". A completed trip
 * leaves its rider owing the fare (negative), us owing the driver their share, and the platform its
 * commission, whatever the card does. A capture settles the rider's account: from then on the provider owes
 * the fare (`provider:clearing` negative). Every transfer sums to zero.
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

/** How a fare is divided between the driver and the platform. */
export interface FareShares {
  driverMinor: number;
  commissionMinor: number;
}

export const driverAccountOf = (driverId: DriverId): LedgerAccount => `driver:${driverId}`;
const riderAccount = (riderId: RiderId): LedgerAccount => `rider:${riderId}`;

/**
 * Only people's accounts carry a running balance. The two house accounts take part in every transfer:
 * a balance row of theirs would make all captures of the system wait for one row lock (held until the
 * commit has reached the disk, and so defeating group commit), to save a sum that nobody asks for on a
 * hot path. People have one trip at a time, so their rows are not contended.
 */
export const hasRunningBalance = (account: LedgerAccount): boolean =>
  account.startsWith('driver:') || account.startsWith('rider:');

/** The commission is rounded down: what can't be divided is the driver's. */
export function splitFare(amountMinor: number, commissionBasisPoints: number): FareShares {
  const commissionMinor = floorRatio(amountMinor, commissionBasisPoints, basisPointsPerWhole);
  return { driverMinor: amountMinor - commissionMinor, commissionMinor };
}

/**
 * How the next refund is divided, given what was refunded before. It is the difference of two running
 * totals, so that any row of refunds reverses exactly what the fare posted once all is refunded.
 */
export function splitRefund(fare: FareShares, refundedBeforeMinor: number, refundMinor: number): FareShares {
  const totalMinor = fare.driverMinor + fare.commissionMinor;
  const driverAt = (refundedMinor: number) => floorRatio(refundedMinor, fare.driverMinor, totalMinor);
  const driverMinor = driverAt(refundedBeforeMinor + refundMinor) - driverAt(refundedBeforeMinor);
  return { driverMinor, commissionMinor: refundMinor - driverMinor };
}

/** At the end of the ride, before anything is captured. */
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
  if (sum !== 0) throw new Error(`a transfer sums to ${sum} ${currency}, not to zero`);
  return { currency, postings: postings.filter(({ amountMinor }) => amountMinor !== 0) };
}

/** ⌊amount × part ÷ whole⌋. The product of two amounts may pass 2^53: hence BigInt. */
function floorRatio(amount: number, part: number, whole: number): number {
  return Number((BigInt(amount) * BigInt(part)) / BigInt(whole));
}
