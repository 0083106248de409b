import { describe, expect, test } from 'bun:test';
import { timestamp } from '@contracts/common.ts';
import type { Product, TrackSummary } from '@contracts/drivers.ts';
import type { Currency } from '@contracts/money.ts';
import fc from 'fast-check';
import { fareOf } from './fares.ts';
import { type FarePolicy, finalFare, type Ride } from './final-fare.ts';
import { tariffs } from './tariffs.ts';

const startMs = Date.parse('2026-11-22T08:00:00Z');
const endMs = startMs + 900_000;
const policy: FarePolicy = { tolerancePercent: 20, reductionPercentMax: 50, raisePercentMax: 0 };

function quotedRide(
  distanceMetres: number,
  durationSeconds = 900,
  product: Product = 'car',
  currency: Currency = 'VND',
): Ride {
  const { totalMinor, lines } = fareOf(tariffs[currency][product], distanceMetres, durationSeconds);
  const fare = { amountMinor: totalMinor, currency };
  const times = { startedAt: timestamp(startMs), at: timestamp(endMs) };
  return { product, distanceMetres, durationSeconds, fare, fareLines: lines, ...times };
}

/** Of the whole ride, a point every five seconds. */
const trackOf = (distanceMetres: number, other: Partial<TrackSummary> = {}): TrackSummary => ({
  points: 180,
  distanceMetres,
  firstAt: timestamp(startMs + 2_000),
  lastAt: timestamp(endMs - 3_000),
  longestGapSeconds: 5,
  ...other,
});

const asQuoted = ({ fare, fareLines, distanceMetres }: Ride) => ({
  by: 'quote' as const,
  total: fare,
  lines: fareLines,
  distanceMetres,
});

describe('the fare of a ride', () => {
  const ride = quotedRide(10_000);

  test('that was a good deal shorter than quoted is for what was driven, in lines that say so', () => {
    // 15,000 + 9,500 × 7 km + 500 × 15 min = 89,000, instead of 117,500 → 118,000
    expect(ride.fare.amountMinor).toBe(118_000);
    expect(finalFare(ride, trackOf(7_000), policy)).toEqual({
      by: 'track',
      total: { amountMinor: 89_000, currency: 'VND' },
      lines: [
        { kind: 'base', amountMinor: 15_000 },
        { kind: 'distance', amountMinor: 66_500 },
        { kind: 'time', amountMinor: 7_500 },
      ],
      distanceMetres: 7_000,
    });
  });

  test('is never for less than half of what was quoted', () => {
    expect(finalFare(ride, trackOf(100), policy)).toMatchObject({
      total: { amountMinor: 70_000 },
      distanceMetres: 5_000,
    });
  });

  test.each([
    ['longer', 14_000],
    ['absurdly longer', 900_000],
    ['a little shorter', 8_000],
    ['just as long', 10_000],
  ])('that was %s is the quoted one', (_, metres) => {
    expect(finalFare(ride, trackOf(metres), policy)).toEqual(asQuoted(ride));
  });

  test('that was longer is raised only where that is wanted, and no more than is allowed', () => {
    const raised = { ...policy, raisePercentMax: 25 };
    expect(finalFare(ride, trackOf(12_400), raised).total.amountMinor).toBe(140_000);
    for (const metres of [12_500, 13_000, 900_000])
      expect(finalFare(ride, trackOf(metres), raised)).toMatchObject({
        total: { amountMinor: 141_000 },
        distanceMetres: 12_500,
      });
  });
});

describe('a track that does not tell the whole way leaves the quote as it is', () => {
  const ride = quotedRide(10_000);
  test.each<[string, Partial<TrackSummary>]>([
    ['without points', { points: 0, firstAt: null, lastAt: null }],
    ['of few points', { points: 9 }],
    ['that begins late', { firstAt: timestamp(startMs + 61_000) }],
    ['that ends early', { lastAt: timestamp(endMs - 61_000) }],
    ['with a hole', { longestGapSeconds: 61 }],
  ])('%s', (_, other) => {
    expect(finalFare(ride, trackOf(6_000, other), policy)).toEqual(asQuoted(ride));
  });

  test('that could not be had', () => {
    expect(finalFare(ride, undefined, policy)).toEqual(asQuoted(ride));
  });

  test('of a ride whose start was not told', () => {
    const { startedAt: _, ...old } = ride;
    expect(finalFare(old, trackOf(6_000), policy)).toEqual(asQuoted(old));
  });
});

test('a fare that today’s tariff would not give is left as it was quoted', () => {
  const ride = quotedRide(10_000);
  const older: Ride = { ...ride, fare: { ...ride.fare, amountMinor: ride.fare.amountMinor + 1_000 } };
  expect(finalFare(older, trackOf(6_000), policy)).toEqual(asQuoted(older));
});

test('whatever was measured, lines sum to the total, and the fare stays within its bounds around the quote', () => {
  const percent = fc.integer({ min: 0, max: 100 });
  const anyPolicy = fc.record({
    tolerancePercent: percent,
    reductionPercentMax: percent,
    raisePercentMax: percent,
  });
  const anyRide = fc
    .tuple(
      fc.integer({ min: 1, max: 200_000 }),
      fc.integer({ min: 0, max: 20_000 }),
      fc.constantFrom<Product>('bike', 'car', 'car_xl'),
      fc.constantFrom<Currency>('VND', 'USD'),
    )
    .map((parts) => quotedRide(...parts));
  fc.assert(
    fc.property(anyRide, fc.nat(1_000_000), anyPolicy, (ride, metres, any) => {
      const { total, lines, distanceMetres } = finalFare(ride, trackOf(metres), any);
      expect(lines.reduce((sum, { amountMinor }) => sum + amountMinor, 0)).toBe(total.amountMinor);
      const tariff = tariffs[ride.fare.currency][ride.product];
      const at = (factor: number) =>
        fareOf(tariff, Math.round(ride.distanceMetres * factor), ride.durationSeconds).totalMinor;
      expect(total.amountMinor).toBeLessThanOrEqual(at(1 + any.raisePercentMax / 100));
      expect(total.amountMinor).toBeGreaterThanOrEqual(at(1 - any.reductionPercentMax / 100));
      if (any.raisePercentMax === 0) expect(total.amountMinor).toBeLessThanOrEqual(ride.fare.amountMinor);
      expect(Number.isSafeInteger(distanceMetres)).toBe(true);
    }),
  );
});
