import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { createSamples, percentile } from './tally.ts';

test('a percentile is the value that this share of values does not exceed', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  expect([0.5, 0.95, 0.99, 1].map((share) => percentile(hundred, share))).toEqual([50, 95, 99, 100]);
  expect(percentile([], 0.5)).toBeNull();
});

test('at least the given share of values is at or below the percentile, which is one of them', () => {
  const share = fc.double({ min: 0.01, max: 1, noNaN: true });
  fc.assert(
    fc.property(fc.array(fc.integer(), { minLength: 1 }), share, (values, wanted) => {
      const found = percentile(values, wanted) ?? Number.NaN;
      expect(values).toContain(found);
      expect(values.filter((value) => value <= found).length / values.length).toBeGreaterThanOrEqual(
        wanted - 1e-9,
      );
    }),
  );
});

test('only the latest samples are kept', () => {
  const samples = createSamples(3);
  for (const value of [1, 2, 3, 4, 5]) samples.add(value);
  expect(samples.values().toSorted()).toEqual([3, 4, 5]);
});
