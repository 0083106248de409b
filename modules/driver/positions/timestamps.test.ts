import { expect, test } from 'bun:test';
import { parseTimestamp, Timestamp } from '@contracts/common.ts';
import { Value } from '@sinclair/typebox/value';
import fc from 'fast-check';
import { createTimestampParser } from './timestamps.ts';

const digits = (count: number, max: number) =>
  fc.integer({ min: 0, max }).map((value) => String(value).padStart(count, '0'));
const fraction = fc.oneof(
  fc.constant(''),
  digits(3, 999).map((ms) => `.${ms}`),
  fc.integer({ min: 0, max: 999_999_999 }).map((some) => `.${some}`),
);
/** Times within a few minutes, so that many share a cached minute, and some dates that do not exist. */
const times = fc
  .tuple(
    fc.constantFrom('2026-11-26T02:53', '2026-11-26T02:54', '2024-02-29T23:59', '2026-02-30T00:00'),
    fc.constantFrom('', '2026-13-01T00:00', '2026-01-01T24:00', '2026-01-01T25:00', '0000-01-01T00:60'),
    digits(2, 61),
    fraction,
  )
  .map(([minute, odd, seconds, rest]) => `${odd || minute}:${seconds}${rest}Z`);

test('the parser parses every time as parseTimestamp does, whatever was parsed before', () => {
  const read = createTimestampParser();
  fc.assert(
    fc.property(times, (text) => {
      expect(Value.Check(Timestamp, text)).toBe(true);
      expect([text, read(text)]).toEqual([text, parseTimestamp(text)]);
    }),
    { numRuns: 3_000 },
  );
});

test.each([
  '2026-02-30T00:00:00.000Z',
  '2026-01-01T24:00:00.000Z',
  '2026-01-01T00:00:61.000Z',
  '0000-01-01T00:00:00.000Z',
])('the parser returns NaN for %s, also after a valid time', (text) => {
  const read = createTimestampParser();
  read('2026-01-01T00:00:00.000Z');
  expect(read(text)).toBeNaN();
});

test('the parser parses ISO times to the millisecond', () => {
  const read = createTimestampParser();
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_000_000_000_000 }), (ms) => {
      expect(read(new Date(ms).toISOString())).toBe(ms);
    }),
  );
});
