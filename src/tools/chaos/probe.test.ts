import { expect, test } from 'bun:test';
import { type ProbeSample, recoveredAtMs } from './probe.ts';

const boundMs = 250;
const everyMs = 125;

/** One sample every 125 ms from 0 until `untilMs`, each changed by `change`. */
const samples = (untilMs: number, change: (sentAtMs: number) => Partial<ProbeSample>): ProbeSample[] =>
  Array.from({ length: untilMs / everyMs }, (_, index) => ({
    sentAtMs: index * everyMs,
    durationMs: 40,
    quoteStatus: 201,
    tripStatus: 201,
    ...change(index * everyMs),
  }));

test('recovery is the start of the first two seconds in which every trip was created in time', () => {
  const slowUntil3 = samples(10_000, (sentAtMs) => (sentAtMs < 3_000 ? { durationMs: 900 } : {}));
  expect(recoveredAtMs(slowUntil3, 0, boundMs, 10_000)).toBe(3_000);
  const refusedUntil4 = samples(10_000, (sentAtMs) => (sentAtMs < 4_000 ? { tripStatus: 503 } : {}));
  expect(recoveredAtMs(refusedUntil4, 0, boundMs, 10_000)).toBe(4_000);
});

test('samples before the healing do not count, nor do two seconds that are not over', () => {
  const well = samples(10_000, () => ({}));
  expect(recoveredAtMs(well, 5_000, boundMs, 10_000)).toBe(5_000);
  expect(recoveredAtMs(well, 9_000, boundMs, 10_000)).toBeUndefined();
});

test('a trip without an answer does not count as recovered', () => {
  const open: ProbeSample[] = samples(3_000, () => ({}));
  const [first] = open;
  if (first !== undefined) open[0] = { sentAtMs: first.sentAtMs };
  expect(recoveredAtMs(open, 0, boundMs, 2_500)).toBe(everyMs);
});

test('too few samples do not count as recovered', () => {
  const sparse = samples(10_000, () => ({})).filter((_, index) => index % 4 === 0);
  expect(recoveredAtMs(sparse, 0, boundMs, 10_000)).toBeUndefined();
});
