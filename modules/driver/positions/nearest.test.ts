import { expect, test } from 'bun:test';
import { distanceMetres, type LatLng, offsetPoint } from '@contracts/geo.ts';
import type { DriverId } from '@contracts/ids.ts';
import { createManualClock } from '@platform/clock.ts';
import { createIds } from '@platform/ids.ts';
import { createSeededRandom } from '@platform/random.ts';
import fc from 'fast-check';
import { cellScore } from './geohash.ts';
import type { FoundDriver } from './index.ts';
import { createNearestSearch } from './nearest.ts';

const benThanh: LatLng = { lat: 10.7721, lng: 106.6983 };
const newId = createIds(createManualClock(0), createSeededRandom(3));
const query = { point: benThanh, product: 'car', limit: 10, radiusMetresMax: 5_000, excluding: [] } as const;

type Car = Omit<FoundDriver, 'distanceMetres'>;
const carAt = (point: LatLng): Car => ({
  driverId: newId<DriverId>(),
  product: 'car',
  point,
  recordedAtMs: 0,
});

/** `count` drivers at random points of a square around the centre. */
function crowd(centre: LatLng, count: number, sizeMetres: number, seed = 1): Car[] {
  const random = createSeededRandom(seed);
  const off = () => (random.next() - 0.5) * sizeMetres;
  return Array.from({ length: count }, () => carAt(offsetPoint(centre, off(), off())));
}

/** Searches a list of drivers that may change between reads; counts reads and drivers read. */
function searchOf(drivers: Car[], afterRead: () => void = () => {}) {
  const counts = { reads: 0, drivers: 0 };
  const nearest = createNearestSearch(async ({ point: from }, runs, crowdMax) => {
    counts.reads++;
    const parts = runs.map((run) => ({
      run,
      part: drivers.filter(({ point }) => run.from <= cellScore(point) && cellScore(point) <= run.to),
    }));
    const isFull = ({ run, part }: (typeof parts)[number]) => run.level > 0 && part.length > crowdMax;
    const read = parts
      .filter((candidate) => !isFull(candidate))
      .flatMap(({ part }) =>
        part.map((driver) => ({ ...driver, distanceMetres: distanceMetres(from, driver.point) })),
      );
    counts.drivers += read.length;
    afterRead();
    return { drivers: read, crowdedRanges: parts.filter(isFull).map(({ run }) => run) };
  });
  return { nearest, counts };
}

test('the search finds exactly what a full scan finds, whatever density earlier searches recorded', async () => {
  const crowds = fc.array(
    fc.record({
      east: fc.integer({ min: -6_000, max: 6_000 }),
      north: fc.integer({ min: -6_000, max: 6_000 }),
      sizeMetres: fc.constantFrom(1, 50, 500, 5_000),
      count: fc.integer({ min: 1, max: 200 }),
    }),
    { maxLength: 5 },
  );
  const queries = fc.record({
    limit: fc.integer({ min: 1, max: 50 }),
    radiusMetresMax: fc.constantFrom(40.37, 900.37, 5_000.37, 50_000.37),
    // Within the area whose density was recorded by the search before.
    before: fc.record({
      east: fc.integer({ min: -400, max: 400 }),
      north: fc.integer({ min: -400, max: 400 }),
    }),
  });
  await fc.assert(
    fc.asyncProperty(crowds, queries, async (places, { before, ...options }) => {
      const drivers = places.flatMap(({ east, north, count, sizeMetres }, seed) =>
        crowd(offsetPoint(benThanh, east, north), count, sizeMetres, seed),
      );
      const { nearest } = searchOf(drivers);
      await nearest({ ...query, ...options, point: offsetPoint(benThanh, before.east, before.north) });
      const wanted = drivers
        .map(({ point }) => distanceMetres(benThanh, point))
        .filter((metres) => metres <= options.radiusMetresMax)
        .sort((a, b) => a - b)
        .slice(0, options.limit);
      const found = await nearest({ ...query, ...options });
      expect(found.map((driver) => driver.distanceMetres)).toEqual(wanted);
    }),
    { numRuns: 200 },
  );
});

test('the search needs one read in a known area and reads a few drivers for each wanted one', async () => {
  for (const count of [200, 20_000]) {
    const { nearest, counts } = searchOf(crowd(benThanh, count, 4_000));
    await nearest(query);
    await nearest(query);
    const before = { ...counts };
    expect(await nearest(query)).toHaveLength(10);
    expect(counts.reads - before.reads).toBe(1);
    expect(counts.drivers - before.drivers).toBeLessThan(60);
  }
});

test('the search does not read a crowd when searching beside it or at its edge', async () => {
  const far = crowd(offsetPoint(benThanh, 2_000, 0), 20_000, 900);
  const { nearest, counts } = searchOf([...far, ...crowd(benThanh, 9, 2_000)]);
  const found = await nearest(query);
  expect(found).toHaveLength(10);
  expect(far.map(({ driverId }) => driverId)).toContain(found[9]?.driverId as DriverId);
  expect(counts.drivers).toBeLessThan(1_500);
  expect(counts.reads).toBeLessThan(12);
});

test('the search does not read all of a crowd that appeared since the last search', async () => {
  const drivers = crowd(benThanh, 20, 4_000);
  const { nearest, counts } = searchOf(drivers);
  await nearest(query);
  drivers.push(...crowd(benThanh, 20_000, 1_500));
  const before = counts.drivers;
  expect(await nearest(query)).toHaveLength(10);
  expect(counts.drivers - before).toBeLessThan(1_500);
});

test('the search reads an empty city a few times, and later searches in it only once', async () => {
  const { nearest, counts } = searchOf([]);
  expect(await nearest(query)).toEqual([]);
  expect(counts.reads).toBeLessThan(6);
  expect(await nearest(query)).toEqual([]);
  expect(counts.reads).toBeLessThan(7);
});

test('the search returns a driver who moves between two reads once, at the last position', async () => {
  const [near, far] = [offsetPoint(benThanh, 100, 0), offsetPoint(benThanh, 2_000, 0)];
  const driver = carAt(near);
  const { nearest } = searchOf([driver], () => {
    driver.point = far;
  });
  const found = await nearest(query);
  expect(found).toMatchObject([{ driverId: driver.driverId, point: far }]);
});
