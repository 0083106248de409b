import { expect, test } from 'bun:test';
import { distanceMetres, type LatLng, offsetPoint } from '@contracts/geo.ts';
import fc from 'fast-check';
import { type Cell, cellsAround, levelOf, rangesOf, splitCells } from './cells.ts';
import { cellScore } from './geohash.ts';
import { latitudeMax } from './index.ts';

const point = fc.record({
  lat: fc.double({ min: -latitudeMax, max: latitudeMax, noNaN: true }),
  lng: fc.oneof(fc.double({ min: -180, max: 180, noNaN: true }), fc.constantFrom(-180, 180, 179.9999, 0)),
});
const scene = fc.record({
  from: point,
  east: fc.integer({ min: -30_000, max: 30_000 }),
  north: fc.integer({ min: -30_000, max: 30_000 }),
  radiusMetres: fc.integer({ min: 1, max: 50_000 }),
});
const elsewhere = (from: LatLng, east: number, north: number): LatLng => {
  const there = offsetPoint(from, east, north);
  return { ...there, lat: Math.max(-latitudeMax, Math.min(latitudeMax, there.lat)) };
};
const contains = (cell: Cell, score: number) =>
  rangesOf([cell]).some(({ from, to }) => from <= score && score <= to);

test('every point within the radius is in exactly one of the cells around, however they are split', () => {
  fc.assert(
    fc.property(scene, fc.integer({ min: 1, max: 50_000 }), ({ from, east, north, radiusMetres }, inner) => {
      const there = elsewhere(from, east, north);
      if (distanceMetres(from, there) > radiusMetres) return;
      const around = cellsAround(from, radiusMetres);
      const { inside, outside } = splitCells(from, around, inner, levelOf(from.lat, inner));
      for (const cells of [around, [...inside, ...outside]])
        expect(cells.filter((cell) => contains(cell, cellScore(there)))).toHaveLength(1);
    }),
    { numRuns: 500 },
  );
});

test('no point of a cell is nearer than its nearMetres', () => {
  fc.assert(
    fc.property(scene, ({ from, east, north, radiusMetres }) => {
      const there = elsewhere(from, east, north);
      const level = levelOf(from.lat, radiusMetres / 8);
      const { inside, outside } = splitCells(from, cellsAround(from, radiusMetres), radiusMetres, level);
      for (const cell of [...inside, ...outside])
        if (contains(cell, cellScore(there)))
          expect(cell.nearMetres).toBeLessThanOrEqual(distanceMetres(from, there) + 1e-6);
    }),
    { numRuns: 500 },
  );
});

test('adjacent cells are merged into one range that contains no other cell', () => {
  fc.assert(
    fc.property(scene, ({ from, radiusMetres }) => {
      const level = levelOf(from.lat, radiusMetres / 2);
      const { inside } = splitCells(from, cellsAround(from, radiusMetres), radiusMetres, level);
      const ranges = rangesOf(inside);
      const single = inside.flatMap((cell) => rangesOf([cell]));
      const width = (ranges: readonly { from: number; to: number }[]) =>
        ranges.reduce((sum, { from: low, to }) => sum + to - low + 1, 0);
      expect(width(ranges)).toBe(width(single));
      expect(ranges.flatMap(({ cells }) => cells)).toHaveLength(inside.length);
      ranges.slice(1).forEach((range, index) => {
        expect(range.from).toBeGreaterThan((ranges[index]?.to ?? 0) + 1);
      });
    }),
  );
});
