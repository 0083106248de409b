import { describe, expect, test } from 'bun:test';
import type { DriverId, RiderId } from '@contracts/ids.ts';
import fc from 'fast-check';
import {
  createCaptureTransfer,
  createFareTransfer,
  createRefundTransfer,
  splitFare,
  splitRefund,
} from './transfers.ts';

const driverId = '01900000-0000-7000-8000-000000000001' as DriverId;
const riderId = '01900000-0000-7000-8000-000000000002' as RiderId;
const amount = fc.integer({ min: 1, max: 9e15 });
const basisPoints = fc.integer({ min: 0, max: 10_000 });
const sumOf = (postings: { amountMinor: number }[]) =>
  postings.reduce((total, { amountMinor }) => total + BigInt(amountMinor), 0n);

describe('a fare', () => {
  test('gives the driver what the commission leaves, including the remainder that cannot be divided', () => {
    expect(splitFare(71_003, 2_000)).toEqual({ driverMinor: 56_803, commissionMinor: 14_200 });
  });

  test('supports a fraction of a percent, such as 12.5%', () => {
    expect(splitFare(80_000, 1_250)).toEqual({ driverMinor: 70_000, commissionMinor: 10_000 });
  });

  test('sums to zero for any amount and commission', () => {
    fc.assert(
      fc.property(amount, basisPoints, (amountMinor, commissionBasisPoints) => {
        const shares = splitFare(amountMinor, commissionBasisPoints);
        const { postings } = createFareTransfer({ riderId, driverId }, 'VND', shares);
        expect(sumOf(postings)).toBe(0n);
        const capture = createCaptureTransfer(riderId, { amountMinor, currency: 'VND' });
        expect(sumOf(capture.postings)).toBe(0n);
        const ofRider = [...postings, ...capture.postings].filter(({ account }) =>
          account.startsWith('rider:'),
        );
        expect(ofRider.map((posting) => posting.amountMinor)).toEqual([-amountMinor, amountMinor]);
      }),
    );
  });

  test('never charges more commission than its share', () => {
    fc.assert(
      fc.property(amount, basisPoints, (amountMinor, commissionBasisPoints) => {
        const { commissionMinor, driverMinor } = splitFare(amountMinor, commissionBasisPoints);
        expect(BigInt(commissionMinor) * 10_000n).toBeLessThanOrEqual(
          BigInt(amountMinor) * BigInt(commissionBasisPoints),
        );
        expect(commissionMinor + driverMinor).toBe(amountMinor);
      }),
    );
  });

  test('posts nothing to an account whose share is zero', () => {
    const { postings } = createFareTransfer({ riderId, driverId }, 'USD', splitFare(500, 0));
    expect(postings.map(({ account }) => account)).toEqual([`rider:${riderId}`, `driver:${driverId}`]);
  });
});

describe('refunds', () => {
  /** An amount, a commission, and the points at which the amount is cut into refunds. */
  const cut = fc.record({
    amountMinor: fc.integer({ min: 1, max: 10_000_000 }),
    commissionBasisPoints: basisPoints,
    cuts: fc.array(fc.integer({ min: 1, max: 9_999_999 }), { maxLength: 8 }),
  });

  test('in any number of parts exactly reverse what the fare posted', () => {
    fc.assert(
      fc.property(cut, ({ amountMinor, commissionBasisPoints, cuts }) => {
        const captured = splitFare(amountMinor, commissionBasisPoints);
        const points = [...new Set(cuts.map((point) => point % amountMinor))].sort((a, b) => a - b);
        const reversed = { driverMinor: 0, commissionMinor: 0 };
        let refundedMinor = 0;
        for (const point of [...points.filter((at) => at > 0), amountMinor]) {
          const shares = splitRefund(captured, refundedMinor, point - refundedMinor);
          expect(shares.driverMinor).toBeGreaterThanOrEqual(0);
          expect(shares.commissionMinor).toBeGreaterThanOrEqual(0);
          expect(sumOf(createRefundTransfer(driverId, 'VND', shares).postings)).toBe(0n);
          reversed.driverMinor += shares.driverMinor;
          reversed.commissionMinor += shares.commissionMinor;
          refundedMinor = point;
        }
        expect(reversed).toEqual(captured);
      }),
    );
  });

  test('are shared by driver and platform in proportion, to the đồng', () => {
    expect(splitRefund({ driverMinor: 80_000, commissionMinor: 20_000 }, 0, 50_000)).toEqual({
      driverMinor: 40_000,
      commissionMinor: 10_000,
    });
  });
});
