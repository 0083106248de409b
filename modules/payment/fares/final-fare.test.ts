import { describe, expect, test } from 'bun:test';
import { formatTimestamp } from '@contracts/common.ts';
import type { Product, TrackSummary } from '@contracts/drivers.ts';
import type { Currency } from '@contracts/money.ts';
import fc from 'fast-check';
import { calculateFare } from './fare.ts';
import { type CompletedRide, calculateFinalFare, type FarePolicy, type FinalFare } from './final-fare.ts';
import { tariffs } from './tariffs.ts';

const startMs = Date.parse('2026-11-22T08:00:00Z');
const endMs = startMs + 900_000;
const policy: FarePolicy = {
  toleranceBasisPoints: 2_000,
  reductionBasisPointsMax: 5_000,
  raiseBasisPointsMax: 0,
};

function quotedRide(
  distanceMetres: number,
  durationSeconds = 900,
  product: Product = 'car',
  currency: Currency = 'VND',
): CompletedRide {
  const { totalMinor, lines } = calculateFare(tariffs[currency][product], distanceMetres, durationSeconds);
  const fare = { amountMinor: totalMinor, currency };
  const times = { startedAt: formatTimestamp(startMs), at: formatTimestamp(endMs) };
  return { product, distanceMetres, durationSeconds, fare, fareLines: lines, ...times };
}

/** The track of the whole ride, with a point every five seconds. */
const trackOf = (distanceMetres: number, other: Partial<TrackSummary> = {}): TrackSummary => ({
  points: 180,
  distanceMetres,
  firstAt: formatTimestamp(startMs + 2_000),
  lastAt: formatTimestamp(endMs - 3_000),
  longestGapSeconds: 5,
  ...other,
});

const asQuoted = ({ fare, fareLines, distanceMetres, durationSeconds }: CompletedRide) => ({
  by: 'quote' as const,
  total: fare,
  lines: fareLines,
  distanceMetres,
  durationSeconds,
});

function fareFor(...args: Parameters<typeof calculateFinalFare>): FinalFare {
  const fare = calculateFinalFare(...args);
  if (fare === undefined) throw new Error('the final fare is undefined');
  return fare;
}

describe('the fare of a ride', () => {
  const ride = quotedRide(10_000);

  test('that was much shorter than quoted is the fare of the driven distance, with its lines', () => {
    // 15,000 + 9,500 × 7 km + 500 × 15 min = 89,000, instead of 117,500 → 118,000
    expect(ride.fare.amountMinor).toBe(118_000);
    expect(calculateFinalFare(ride, trackOf(7_000), policy)).toEqual({
      by: 'track',
      total: { amountMinor: 89_000, currency: 'VND' },
      lines: [
        { kind: 'base', amountMinor: 15_000 },
        { kind: 'distance', amountMinor: 66_500 },
        { kind: 'time', amountMinor: 7_500 },
      ],
      distanceMetres: 7_000,
      durationSeconds: 900,
    });
  });

  test('is never below the fare of half the quoted distance', () => {
    expect(calculateFinalFare(ride, trackOf(100), policy)).toMatchObject({
      total: { amountMinor: 70_000 },
      distanceMetres: 5_000,
    });
  });

  test.each([
    ['longer', 14_000],
    ['absurdly longer', 900_000],
    ['a little shorter', 8_000],
    ['just as long', 10_000],
  ])('that was %s is the quoted fare', (_, metres) => {
    expect(calculateFinalFare(ride, trackOf(metres), policy)).toEqual(asQuoted(ride));
  });

  test('that was longer is raised only if the policy allows it, and only up to its limit', () => {
    const raised = { ...policy, raiseBasisPointsMax: 2_500 };
    expect(calculateFinalFare(ride, trackOf(12_400), raised)?.total.amountMinor).toBe(140_000);
    for (const metres of [12_500, 13_000, 900_000])
      expect(calculateFinalFare(ride, trackOf(metres), raised)).toMatchObject({
        total: { amountMinor: 141_000 },
        distanceMetres: 12_500,
      });
  });
});

describe('an incomplete track leaves the quoted fare unchanged:', () => {
  const ride = quotedRide(10_000);
  test.each<[string, Partial<TrackSummary>]>([
    ['without points', { points: 0, firstAt: null, lastAt: null }],
    ['with few points', { points: 9 }],
    ['that starts late', { firstAt: formatTimestamp(startMs + 61_000) }],
    ['that ends early', { lastAt: formatTimestamp(endMs - 61_000) }],
    ['with a gap', { longestGapSeconds: 61 }],
  ])('%s', (_, other) => {
    expect(calculateFinalFare(ride, trackOf(6_000, other), policy)).toEqual(asQuoted(ride));
  });

  test('that is unavailable', () => {
    expect(calculateFinalFare(ride, undefined, policy)).toEqual(asQuoted(ride));
  });

  test('of a ride without a start time', () => {
    const { startedAt: _, ...old } = ride;
    expect(calculateFinalFare(old, trackOf(6_000), policy)).toEqual(asQuoted(old));
  });
});

test('a fare that the current tariff would not give stays as quoted', () => {
  const ride = quotedRide(10_000);
  const older: CompletedRide = {
    ...ride,
    fare: { ...ride.fare, amountMinor: ride.fare.amountMinor + 1_000 },
  };
  expect(calculateFinalFare(older, trackOf(6_000), policy)).toEqual(asQuoted(older));
});

const basisPoints = fc.integer({ min: 0, max: 10_000 });
const anyPolicy = fc.record({
  toleranceBasisPoints: basisPoints,
  reductionBasisPointsMax: basisPoints,
  raiseBasisPointsMax: basisPoints,
});
const anyRide = fc
  .tuple(
    fc.integer({ min: 1, max: 200_000 }),
    fc.integer({ min: 0, max: 20_000 }),
    fc.constantFrom<Product>('bike', 'car', 'car_xl'),
    fc.constantFrom<Currency>('VND', 'USD'),
  )
  .map((parts) => quotedRide(...parts));

test('for any measured distance the lines sum to the total, and the fare stays within its bounds around the quote', () => {
  fc.assert(
    fc.property(anyRide, fc.nat(1_000_000), anyPolicy, (ride, metres, any) => {
      const { total, lines, distanceMetres } = fareFor(ride, trackOf(metres), any);
      expect(lines.reduce((sum, { amountMinor }) => sum + amountMinor, 0)).toBe(total.amountMinor);
      const tariff = tariffs[ride.fare.currency][ride.product];
      const at = (factor: number) =>
        calculateFare(tariff, Math.round(ride.distanceMetres * factor), ride.durationSeconds).totalMinor;
      expect(total.amountMinor).toBeLessThanOrEqual(at(1 + any.raiseBasisPointsMax / 10_000));
      expect(total.amountMinor).toBeGreaterThanOrEqual(at(1 - any.reductionBasisPointsMax / 10_000));
      if (any.raiseBasisPointsMax === 0) expect(total.amountMinor).toBeLessThanOrEqual(ride.fare.amountMinor);
      expect(Number.isSafeInteger(distanceMetres)).toBe(true);
    }),
  );
});

describe('the metered fare of a ride that its driver did not complete', () => {
  const ride: CompletedRide = { ...quotedRide(10_000), fareRule: 'metered' };

  test('charges the distance and time up to the last position', () => {
    // 15,000 + 9,500 × 4 km + 500 × 5 min = 55,500 → 56,000
    const track = trackOf(4_000, { lastAt: formatTimestamp(startMs + 300_000) });
    expect(calculateFinalFare(ride, track, policy)).toEqual({
      by: 'meter',
      total: { amountMinor: 56_000, currency: 'VND' },
      lines: [
        { kind: 'base', amountMinor: 15_000 },
        { kind: 'distance', amountMinor: 38_000 },
        { kind: 'time', amountMinor: 2_500 },
        { kind: 'rounding', amountMinor: 500 },
      ],
      distanceMetres: 4_000,
      durationSeconds: 300,
    });
  });

  test('is the minimum when no position is known', () => {
    const none = trackOf(0, { points: 0, firstAt: null, lastAt: null });
    expect(calculateFinalFare(ride, none, policy)).toMatchObject({
      by: 'meter',
      total: { amountMinor: tariffs.VND.car.minimumMinor },
      distanceMetres: 0,
      durationSeconds: 0,
    });
  });

  test('is the quote when the metered fare would exceed it, for example after eight hours', () => {
    const late = trackOf(9_000, { lastAt: formatTimestamp(startMs + 8 * 3_600_000) });
    expect(calculateFinalFare(ride, late, policy)).toEqual(asQuoted(ride));
    expect(calculateFinalFare(ride, trackOf(900_000), policy)).toEqual(asQuoted(ride));
  });

  test('is the quote when that is below the current minimum', () => {
    const cheap: CompletedRide = {
      ...ride,
      fare: { amountMinor: 20_000, currency: 'VND' },
      fareLines: [{ kind: 'base', amountMinor: 20_000 }],
    };
    expect(calculateFinalFare(cheap, trackOf(10), policy)).toEqual(asQuoted(cheap));
  });

  test('is not decided while the track is unavailable', () => {
    expect(calculateFinalFare(ride, undefined, policy)).toBeUndefined();
  });

  test('is never above the quote and never below the minimum, and its lines sum to it', () => {
    const anyEnd = fc.option(fc.integer({ min: -60_000, max: 10 * 3_600_000 }), { nil: null });
    fc.assert(
      fc.property(anyRide, fc.nat(1_000_000), anyEnd, anyPolicy, (quoted, metres, endMs, any) => {
        const lastAt = endMs === null ? null : formatTimestamp(startMs + endMs);
        const metered: CompletedRide = { ...quoted, fareRule: 'metered' };
        const { total, lines } = fareFor(metered, trackOf(metres, { lastAt }), any);
        expect(lines.reduce((sum, { amountMinor }) => sum + amountMinor, 0)).toBe(total.amountMinor);
        expect(total.amountMinor).toBeLessThanOrEqual(quoted.fare.amountMinor);
        const { minimumMinor } = tariffs[quoted.fare.currency][quoted.product];
        expect(total.amountMinor).toBeGreaterThanOrEqual(Math.min(minimumMinor, quoted.fare.amountMinor));
      }),
    );
  });
});
