import { describe, expect, test } from 'bun:test';
import { alternateSides, median, percentile, percentilesOf, roundToFourDigits } from './statistics.ts';

describe('median', () => {
  test('is the middle value, whatever the order', () => expect(median([9, 1, 5])).toBe(5));
  test('of an even number is the mean of the two in the middle', () =>
    expect(median([4, 1, 2, 100])).toBe(3));
  test('does not sort numbers as text', () => expect(median([9, 10, 100])).toBe(10));
  test('of nothing is no number', () => expect(median([])).toBeNaN());
});

describe('percentile', () => {
  const hundred = Array.from({ length: 100 }, (_, at) => 100 - at);
  test('of 1 to 100 is its own number', () => {
    expect([1, 50, 95, 99, 100].map((percent) => percentile(hundred, percent))).toEqual([1, 50, 95, 99, 100]);
  });
  test('is always one of the values: the smallest that so many do not exceed', () => {
    expect(percentile([10, 20, 30], 50)).toBe(20);
    expect(percentile([10, 20, 30], 67)).toBe(30);
    expect(percentile([10, 20, 30], 0)).toBe(10);
    expect(percentile([7], 99)).toBe(7);
  });
  test('leaves what it was given as it was', () => {
    const values = [3, 1, 2];
    percentile(values, 50);
    expect(values).toEqual([3, 1, 2]);
  });
  test('of nothing is no number', () => expect(percentile([], 95)).toBeNaN());
  test('three at once are the same three', () => {
    expect(percentilesOf(hundred)).toEqual({ p50Ms: 50, p95Ms: 95, p99Ms: 99 });
  });
});

describe('the order of rounds', () => {
  test('turns round each time, so that both go first equally often', () => {
    expect(alternateSides(4).map((round) => round.map((side) => side[0]).join(''))).toEqual([
      'ob',
      'bo',
      'ob',
      'bo',
    ]);
    expect(alternateSides(0)).toEqual([]);
  });
});

test('figures are told with four digits', () => {
  expect([roundToFourDigits(12345.678), roundToFourDigits(0.123456), roundToFourDigits(0)]).toEqual([
    12350, 0.1235, 0,
  ]);
});
