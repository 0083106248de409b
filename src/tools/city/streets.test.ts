import { describe, expect, test } from 'bun:test';
import { distanceMetres, type LatLng, offsetPoint } from '@contracts/geo.ts';
import { createSeededRandom } from '@platform/random.ts';
import fc from 'fast-check';
import { gridPath, headingAlong, pathThrough, pointAlong, travelSpeed } from './streets.ts';

const saigon: LatLng = { lat: 10.776, lng: 106.7 };
const cityMetres = fc.double({ min: -15_000, max: 15_000, noNaN: true });
const trip = fc
  .record({ east: cityMetres, north: cityMetres, seed: fc.nat() })
  .map(({ east, north, seed }) => ({ to: offsetPoint(saigon, east, north), seed }));

describe('a path along the street grid', () => {
  test('starts and ends at the given points', () => {
    fc.assert(
      fc.property(trip, ({ to, seed }) => {
        const path = gridPath(saigon, to, createSeededRandom(seed));
        expect(path.points[0]).toEqual(saigon);
        expect(path.points.at(-1)).toEqual(to);
        expect(distanceMetres(pointAlong(path, path.lengthMetres + 1), to)).toBeLessThan(0.01);
      }),
    );
  });

  test('is never shorter than the straight line, nor longer than one corner', () => {
    fc.assert(
      fc.property(trip, ({ to, seed }) => {
        const { lengthMetres } = gridPath(saigon, to, createSeededRandom(seed));
        const straight = distanceMetres(saigon, to);
        expect(lengthMetres).toBeGreaterThanOrEqual(straight * 0.999);
        expect(lengthMetres).toBeLessThanOrEqual(straight * Math.SQRT2 * 1.01 + 1);
      }),
    );
  });

  test('has no jumps: after d metres the distance is at most d metres', () => {
    fc.assert(
      fc.property(
        trip,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 500, noNaN: true }),
        ({ to, seed }, share, step) => {
          const path = gridPath(saigon, to, createSeededRandom(seed));
          const start = path.lengthMetres * share;
          const moved = distanceMetres(pointAlong(path, start), pointAlong(path, start + step));
          expect(moved).toBeLessThanOrEqual(step * 1.01 + 0.01);
        },
      ),
    );
  });

  test('is the same for the same seed', () => {
    const to = offsetPoint(saigon, 3000, -2000);
    expect(gridPath(saigon, to, createSeededRandom(5))).toEqual(gridPath(saigon, to, createSeededRandom(5)));
  });
});

test('a heading is measured clockwise from north', () => {
  const leg = (east: number, north: number) =>
    Math.round(headingAlong(pathThrough([saigon, offsetPoint(saigon, east, north)]), 10));
  expect([leg(0, 500), leg(500, 0), leg(0, -500), leg(-500, 0)]).toEqual([0, 90, 180, 270]);
});

test('a path of one point stays at that point', () => {
  const standing = pathThrough([saigon]);
  expect(pointAlong(standing, 100)).toEqual(saigon);
  expect(standing.lengthMetres).toBe(0);
});

test('motorbikes are faster than cars, and long paths are driven faster', () => {
  expect(travelSpeed('bike', 1000)).toBeGreaterThan(travelSpeed('car', 1000));
  expect(travelSpeed('car', 20_000)).toBeCloseTo(2 * travelSpeed('car', 0));
});
