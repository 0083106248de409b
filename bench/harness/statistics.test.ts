import { describe, expect, test } from 'bun:test';
import { alternateSides, median, percentile, percentilesOf, roundToFourDigits } from './statistics.ts';

describe('the median', () => {
  test('is the middle value, whatever the order', () => expect(median([9, 1, 5])).toBe(5));
  test('of an even number is the mean of the two in the middle', () =>
    expect(median([4, 1, 2, 100])).toBe(3));
  test('does not sort numbers as text', () => expect(median([9, 10, 100])).toBe(10));
  test('of no values is NaN', () => expect(median([])).toBeNaN());
});

describe('a percentile', () => {
  const hundred = Array.from({ length: 100 }, (_, at) => 100 - at);
  test('of the values 1 to 100 is its own number', () => {
    expect([1, 50, 95, 99, 100].map((percent) => percentile(hundred, percent))).toEqual([1, 50, 95, 99, 100]);
  });
  test('is always one of the values: the smallest that at least this share does not exceed', () => {
    expect(percentile([10, 20, 30], 50)).toBe(20);
    expect(percentile([10, 20, 30], 67)).toBe(30);
    expect(percentile([10, 20, 30], 0)).toBe(10);
    expect(percentile([7], 99)).toBe(7);
  });
  test('does not change its input', () => {
    const values = [3, 1, 2];
    percentile(values, 50);
    expect(values).toEqual([3, 1, 2]);
  });
  test('of no values is NaN', () => expect(percentile([], 95)).toBeNaN());
  test('is the same when three are computed at once', () => {
    expect(percentilesOf(hundred)).toEqual({ p50Ms: 50, p95Ms: 95, p99Ms: 99 });
  });
});

describe('the order of rounds', () => {
  test('alternates, so that both sides go first equally often', () => {
    expect(alternateSides(4).map((round) => round.map((side) => side[0]).join(''))).toEqual([
      'ob',
      'bo',
      'ob',
      'bo',
    ]);
    expect(alternateSides(0)).toEqual([]);
  });
});

test('rounds figures to four significant digits', () => {
  expect([roundToFourDigits(12345.678), roundToFourDigits(0.123456), roundToFourDigits(0)]).toEqual([
    12350, 0.1235, 0,
  ]);
});
