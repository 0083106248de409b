import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { cellScore, scoresOf } from './geohash.ts';

test('a step of 100 m changes the cell, a step within the cell does not', () => {
  const here = { lat: 10.7721, lng: 106.6983 };
  expect(cellScore({ ...here, lat: here.lat + 0.0009 })).not.toBe(cellScore(here));
  expect(cellScore({ ...here, lng: here.lng + 0.0009 })).not.toBe(cellScore(here));
  expect(cellScore({ lat: here.lat, lng: here.lng + 1e-7 })).toBe(cellScore(here));
});

test('180° and -180° are the same cell', () => {
  expect(cellScore({ lat: 10, lng: 180 })).toBe(cellScore({ lat: 10, lng: -180 }));
});

test('the score ranges of the four quarters of a cell are adjacent and cover the cell', () => {
  const place = fc.record({
    level: fc.integer({ min: 1, max: 16 }),
    row: fc.integer({ min: 0, max: 3 }),
    column: fc.integer({ min: 0, max: 7 }),
  });
  fc.assert(
    fc.property(place, ({ level, row, column }) => {
      const whole = scoresOf(level, row, column);
      const [first, second, third, fourth] = [0, 1]
        .flatMap((dy) => [0, 1].map((dx) => scoresOf(level - 1, 2 * row + dy, 2 * column + dx)))
        .sort((a, b) => a.from - b.from);
      expect([first?.from, fourth?.to]).toEqual([whole.from, whole.to]);
      expect([first, second, third].map((range) => (range?.to ?? 0) + 1)).toEqual(
        [second, third, fourth].map((range) => range?.from ?? 0),
      );
    }),
  );
});
