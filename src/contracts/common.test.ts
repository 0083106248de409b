import { expect, test } from 'bun:test';
import { Value } from '@sinclair/typebox/value';
import fc from 'fast-check';
import { formatTimestamp, parseTimestamp, Timestamp } from './common.ts';

test.each([
  ['30 February', '2026-02-30T00:00:00Z'],
  ['29 February of a common year', '2026-02-29T00:00:00.000Z'],
  ['29 February of 1900', '1900-02-29T12:00:00Z'],
  ['31 April', '2026-04-31T00:00:00Z'],
  ['day 0', '2026-01-00T00:00:00Z'],
  ['month 13', '2026-13-01T00:00:00Z'],
  ['hour 24', '2026-01-01T24:00:00Z'],
  ['hour 25', '2026-01-01T25:00:00Z'],
  ['minute 60', '2026-01-01T00:60:00Z'],
  ['second 60', '2026-12-31T23:59:60Z'],
  ['second 61', '2026-01-01T00:00:61Z'],
  ['year 0', '0000-06-01T00:00:00Z'],
])('%s is not a valid time', (_, text) => {
  expect(Value.Check(Timestamp, text)).toBe(true);
  expect(parseTimestamp(text)).toBeNaN();
});

test.each([
  ['29 February of a leap year', '2024-02-29T23:59:59.999Z', Date.UTC(2024, 1, 29, 23, 59, 59, 999)],
  ['29 February of 2000', '2000-02-29T00:00:00Z', Date.UTC(2000, 1, 29)],
  ['a tenth of a second', '2026-01-01T00:00:00.1Z', Date.UTC(2026, 0, 1, 0, 0, 0, 100)],
  ['nanoseconds, which are cut off', '2026-01-01T00:00:59.999999999Z', Date.UTC(2026, 0, 1, 0, 0, 59, 999)],
  ['before 1970', '1969-12-31T23:59:59.500Z', -500],
])('%s is a valid time', (_, text, ms) => expect(parseTimestamp(text)).toBe(ms));

test('every formatted timestamp parses back to the same time', () => {
  fc.assert(
    fc.property(fc.integer({ min: Date.parse('0001-01-01T00:00:00Z'), max: 253_402_300_799_999 }), (ms) => {
      expect(parseTimestamp(formatTimestamp(ms))).toBe(ms);
    }),
  );
});
