import { expect, test } from 'bun:test';
import { distanceMetres, type LatLng } from '@contracts/geo.ts';
import fc from 'fast-check';
import { createGrid } from './grid.ts';

const degrees = (min: number, max: number) => fc.double({ min, max, noNaN: true });

test('the grid finds exactly what a full scan finds, in cities, at the date line and far north', () => {
  const scene = fc
    .record({
      lat: degrees(-84, 84),
      lng: fc.oneof(degrees(-180, 180), fc.constantFrom(-180, 180, 179.999, 0)),
    })
    .chain((centre) =>
      fc.record({
        centre: fc.constant(centre),
        items: fc.array(
          fc
            .record({ lat: degrees(-0.06, 0.06), lng: degrees(-0.3, 0.3) })
            .map(({ lat, lng }): { point: LatLng } => ({
              point: { lat: centre.lat + lat, lng: ((((centre.lng + lng + 180) % 360) + 360) % 360) - 180 },
            })),
          { maxLength: 120 },
        ),
        limit: fc.integer({ min: 1, max: 30 }),
        radiusMetresMax: degrees(1, 12_000),
      }),
    );
  fc.assert(
    fc.property(scene, ({ centre, items, limit, radiusMetresMax }) => {
      const grid = createGrid<{ point: LatLng }>();
      for (const item of items) grid.add(item);
      const accepted = (item: { point: LatLng }) =>
        item.point.lat >= centre.lat || items.indexOf(item) % 2 === 0;
      const found = grid.nearest(centre, limit, radiusMetresMax, accepted);
      const wanted = items
        .filter(accepted)
        .map((item) => distanceMetres(centre, item.point))
        .filter((metres) => metres <= radiusMetresMax)
        .sort((a, b) => a - b)
        .slice(0, limit);
      expect(found.map((item) => item.distanceMetres)).toEqual(wanted);
    }),
    { numRuns: 300 },
  );
});

test('the grid does not find an item after it was removed', () => {
  const grid = createGrid<{ point: LatLng }>();
  const item = { point: { lat: 10.77, lng: 106.7 } };
  grid.add(item);
  grid.remove(item);
  grid.remove(item);
  expect(grid.nearest(item.point, 5, 1_000, () => true)).toEqual([]);
});
