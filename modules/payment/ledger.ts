import type { DriverId, RiderId } from '@contracts/ids.ts';
import { type Currency, type Money, wholeBasisPoints } from '@contracts/money.ts';

/**
 * Double entry. Amounts are signed minor units and positive means "owed to the account". A completed trip
 * leaves its rider owing the fare (negative), us owing the driver their share, and the platform its
 * commission, whatever the card does. A capture settles the rider's account: from then on the provider owes
 * the fare (`provider:clearing` negative). Every transfer sums to zero.
 */
export type Account = 'provider:clearing' | 'platform:commission' | `driver:${DriverId}` | `rider:${RiderId}`;

export interface Posting {
  account: Account;
  amountMinor: number;
}

export interface Transfer {
  currency: Currency;
  postings: Posting[];
}

/** How a fare is divided between the driver and the platform. */
export interface Shares {
  driverMinor: number;
  commissionMinor: number;
}

export const driverAccount = (driverId: DriverId): Account => `driver:${driverId}`;
const riderAccount = (riderId: RiderId): Account => `rider:${riderId}`;

/**
 * Only people's accounts carry a running balance. The two house accounts take part in every transfer:
 * a balance row of theirs would make all captures of the system wait for one row lock (held until the
 * commit has reached the disk, and so defeating group commit), to save a sum that nobody asks for on a
 * hot path. People have one trip at a time, so their rows are not contended.
 */
export const carriesBalance = (account: Account): boolean =>
  account.startsWith('driver:') || account.startsWith('rider:');

/** The commission is rounded down: what can't be divided is the driver's. */
export function sharesOf(amountMinor: number, commissionBasisPoints: number): Shares {
  const commissionMinor = floorRatio(amountMinor, commissionBasisPoints, wholeBasisPoints);
  return { driverMinor: amountMinor - commissionMinor, commissionMinor };
}

/**
 * How the next refund is divided, given what was refunded before. It is the difference of two running
 * totals, so that any row of refunds reverses exactly what the fare posted once all is refunded.
 */
export function refundShares(fare: Shares, refundedBeforeMinor: number, refundMinor: number): Shares {
  const totalMinor = fare.driverMinor + fare.commissionMinor;
  const driverAt = (refundedMinor: number) => floorRatio(refundedMinor, fare.driverMinor, totalMinor);
  const driverMinor = driverAt(refundedBeforeMinor + refundMinor) - driverAt(refundedBeforeMinor);
  return { driverMinor, commissionMinor: refundMinor - driverMinor };
}

/** At the end of the ride, before anything is captured. */
export function fareTransfer(
  { riderId, driverId }: { riderId: RiderId; driverId: DriverId },
  currency: Currency,
  { driverMinor, commissionMinor }: Shares,
): Transfer {
  return transferOf(currency, [
    { account: riderAccount(riderId), amountMinor: -(driverMinor + commissionMinor) },
    { account: driverAccount(driverId), amountMinor: driverMinor },
    { account: 'platform:commission', amountMinor: commissionMinor },
  ]);
}

export function captureTransfer(riderId: RiderId, { amountMinor, currency }: Money): Transfer {
  return transferOf(currency, [
    { account: 'provider:clearing', amountMinor: -amountMinor },
    { account: riderAccount(riderId), amountMinor },
  ]);
}

export function refundTransfer(driverId: DriverId, currency: Currency, shares: Shares): Transfer {
  return transferOf(currency, [
    { account: 'provider:clearing', amountMinor: shares.driverMinor + shares.commissionMinor },
    { account: driverAccount(driverId), amountMinor: -shares.driverMinor },
    { account: 'platform:commission', amountMinor: -shares.commissionMinor },
  ]);
}

function transferOf(currency: Currency, postings: Posting[]): Transfer {
  const sum = postings.reduce((total, { amountMinor }) => total + amountMinor, 0);
  if (sum !== 0) throw new Error(`a transfer sums to ${sum} ${currency}, not to zero`);
  return { currency, postings: postings.filter(({ amountMinor }) => amountMinor !== 0) };
}

/** ⌊amount × part ÷ whole⌋. The product of two amounts may pass 2^53: hence BigInt. */
function floorRatio(amount: number, part: number, whole: number): number {
  return Number((BigInt(amount) * BigInt(part)) / BigInt(whole));
}
