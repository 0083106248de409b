import type { DriverId } from '@contracts/ids.ts';
import { type Currency, wholeBasisPoints } from '@contracts/money.ts';

/**
 * Double entry. Amounts are signed minor units and positive means "owed to the account": a capture
 * leaves the provider owing us the fare (`provider:clearing` negative), us owing the driver their share,
 * and the platform its commission. Every transfer sums to zero.
 */
export type Account = 'provider:clearing' | 'platform:commission' | `driver:${DriverId}`;

export interface Posting {
  account: Account;
  amountMinor: number;
}

export interface Transfer {
  currency: Currency;
  postings: Posting[];
}

/** How a captured amount is divided between the driver and the platform. */
export interface Shares {
  driverMinor: number;
  commissionMinor: number;
}

export const driverAccount = (driverId: DriverId): Account => `driver:${driverId}`;

/**
 * Only drivers' accounts carry a running balance. The two house accounts take part in every transfer:
 * a balance row of theirs would make all captures of the system wait for one row lock (held until the
 * commit has reached the disk, and so defeating group commit), to save a sum that nobody asks for on a
 * hot path. A driver has one trip at a time, so nobody waits for theirs.
 */
export const carriesBalance = (account: Account): boolean => account.startsWith('driver:');

/** The commission is rounded down: what can't be divided is the driver's. */
export function sharesOf(amountMinor: number, commissionBasisPoints: number): Shares {
  const commissionMinor = floorRatio(amountMinor, commissionBasisPoints, wholeBasisPoints);
  return { driverMinor: amountMinor - commissionMinor, commissionMinor };
}

/**
 * How the next refund is divided, given what was refunded before. It is the difference of two running
 * totals, so that any row of refunds reverses exactly what the capture posted once all is refunded.
 */
export function refundShares(captured: Shares, refundedBeforeMinor: number, refundMinor: number): Shares {
  const totalMinor = captured.driverMinor + captured.commissionMinor;
  const driverAt = (refundedMinor: number) => floorRatio(refundedMinor, captured.driverMinor, totalMinor);
  const driverMinor = driverAt(refundedBeforeMinor + refundMinor) - driverAt(refundedBeforeMinor);
  return { driverMinor, commissionMinor: refundMinor - driverMinor };
}

export function captureTransfer(driverId: DriverId, currency: Currency, shares: Shares): Transfer {
  return transferOf(currency, [
    { account: 'provider:clearing', amountMinor: -(shares.driverMinor + shares.commissionMinor) },
    { account: driverAccount(driverId), amountMinor: shares.driverMinor },
    { account: 'platform:commission', amountMinor: shares.commissionMinor },
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
