import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { distanceMetres, distanceMetresUpperBound } from './geo.ts';

const point = fc.record({
  lat: fc.double({ min: -90, max: 90, noNaN: true }),
  lng: fc.double({ min: -180, max: 180, noNaN: true }),
});

test('a degree of latitude is 111.2 km, a degree of longitude is as long at the equator and half as long at 60°', () => {
  expect(distanceMetres({ lat: 10, lng: 106 }, { lat: 11, lng: 106 })).toBeCloseTo(111_195, -1);
  expect(distanceMetres({ lat: 0, lng: 106 }, { lat: 0, lng: 107 })).toBeCloseTo(111_195, -1);
  expect(distanceMetres({ lat: 60, lng: 106 }, { lat: 60, lng: 107 })).toBeCloseTo(55_597, -2);
});

test('the upper bound is never below the distance, anywhere on Earth, and close to it in a city', () => {
  fc.assert(
    fc.property(point, point, (a, b) => {
      expect(distanceMetresUpperBound(a, b)).toBeGreaterThanOrEqual(distanceMetres(a, b) - 1e-3);
    }),
  );
  const [here, there] = [
    { lat: 10.776, lng: 106.701 },
    { lat: 10.778, lng: 106.703 },
  ];
  expect(distanceMetresUpperBound(here, there)).toBeLessThan(1.5 * distanceMetres(here, there));
});
