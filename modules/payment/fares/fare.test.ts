import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { calculateFare } from './fare.ts';
import { type Tariff, tariffs } from './tariffs.ts';

const allTariffs: Tariff[] = Object.values(tariffs).flatMap((products) => Object.values(products));
const tariff = fc.constantFrom(...allTariffs);
const metres = fc.integer({ min: 0, max: 300_000 });
const seconds = fc.integer({ min: 0, max: 100_000 });

describe('a fare', () => {
  test('is base, distance and time, rounded to the step of the tariff', () => {
    // 15,000 + 9,500 × 5.234 km + 500 × 12.5 min = 70,973 → 71,000
    expect(calculateFare(tariffs.VND.car, 5_234, 750)).toEqual({
      totalMinor: 71_000,
      lines: [
        { kind: 'base', amountMinor: 15_000 },
        { kind: 'distance', amountMinor: 49_723 },
        { kind: 'time', amountMinor: 6_250 },
        { kind: 'rounding', amountMinor: 27 },
      ],
    });
  });

  test('of a short ride is the minimum, with a line for the difference', () => {
    expect(calculateFare(tariffs.VND.bike, 100, 30)).toEqual({
      totalMinor: 12_500,
      lines: [
        { kind: 'base', amountMinor: 8_000 },
        { kind: 'distance', amountMinor: 430 },
        { kind: 'time', amountMinor: 175 },
        { kind: 'minimum', amountMinor: 3_895 },
      ],
    });
  });

  test('in US dollars is exact to the cent', () => {
    expect(calculateFare(tariffs.USD.car, 10_000, 600).totalMinor).toBe(120 + 650 + 80);
  });

  test('never falls as the ride grows longer or slower', () => {
    fc.assert(
      fc.property(tariff, metres, seconds, metres, seconds, (prices, far, slow, farther, slower) => {
        const shorter = calculateFare(prices, far, slow).totalMinor;
        expect(calculateFare(prices, far + farther, slow + slower).totalMinor).toBeGreaterThanOrEqual(
          shorter,
        );
      }),
    );
  });

  test('is never below the minimum, and always a multiple of the step', () => {
    fc.assert(
      fc.property(tariff, metres, seconds, (prices, far, slow) => {
        const { totalMinor } = calculateFare(prices, far, slow);
        expect(totalMinor).toBeGreaterThanOrEqual(prices.minimumMinor);
        expect(totalMinor % prices.stepMinor).toBe(0);
      }),
    );
  });

  test('has whole lines that sum exactly to its total', () => {
    fc.assert(
      fc.property(tariff, metres, seconds, (prices, far, slow) => {
        const { totalMinor, lines } = calculateFare(prices, far, slow);
        expect(lines.every(({ amountMinor }) => Number.isSafeInteger(amountMinor))).toBe(true);
        expect(lines.reduce((sum, { amountMinor }) => sum + amountMinor, 0)).toBe(totalMinor);
      }),
    );
  });

  test('is rounded by no more than half a step', () => {
    fc.assert(
      fc.property(tariff, metres, seconds, (prices, far, slow) => {
        const rounding = calculateFare(prices, far, slow).lines.find(({ kind }) => kind === 'rounding');
        expect(Math.abs(rounding?.amountMinor ?? 0)).toBeLessThanOrEqual(prices.stepMinor / 2);
      }),
    );
  });
});

test('every minimum fare is a multiple of its step, so rounding cannot fall below it', () => {
  for (const { minimumMinor, stepMinor } of allTariffs) expect(minimumMinor % stepMinor).toBe(0);
});
