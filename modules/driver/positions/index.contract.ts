import { beforeEach, describe, expect, test } from 'bun:test';
import { type Product, type ProductTable, productsOf, productTable } from '@contracts/drivers.ts';
import { distanceMetres, type LatLng, offsetPoint } from '@contracts/geo.ts';
import type { DriverId } from '@contracts/ids.ts';
import { createManualClock, type ManualClock } from '@platform/clock.ts';
import { createIds } from '@platform/ids.ts';
import { createSeededRandom } from '@platform/random.ts';
import fc from 'fast-check';
import {
  type Availability,
  availabilityLeaseMs,
  offlineLeaseMs,
  type PositionIndex,
  type PositionIndexDeps,
} from './index.ts';

const freshnessMs = 30_000;
const rules = { freshnessMs, speedMetresPerSecondMax: 70, sweepEveryMs: 0 };
const benThanh: LatLng = { lat: 10.7721, lng: 106.6983 };
const farMetres = 10_000;

type MakeIndex = (deps: PositionIndexDeps) => PositionIndex | Promise<PositionIndex>;

/** A table with one row more than today's: a position index must need nothing else for a new product. */
const extendedTable: ProductTable = { ...productTable, ...{ extra: { indexLetter: 'z' } } };

/**
 * The contract that every position index must fulfil, for every product of the table and for one more. `make`
 * creates an empty index each time.
 */
export function positionIndexContract(name: string, make: MakeIndex) {
  const makeExtended: MakeIndex = (deps) => make({ ...deps, products: extendedTable });
  searchContract(name, makeExtended);
  for (const product of productsOf(extendedTable)) {
    const isNew = !(product in productTable);
    productContract(`${name}, ${product}`, isNew ? makeExtended : make, product);
  }
}

/** Creates a new index before each test, and helpers that use it. */
function setUpIndex(make: MakeIndex, defaultProduct: Product) {
  const newId = createIds(createManualClock(0), createSeededRandom(11));
  const newDriver = () => newId<DriverId>();
  let clock: ManualClock;
  let index: PositionIndex;

  beforeEach(async () => {
    clock = createManualClock(Date.parse('2026-11-22T08:00:00Z'));
    index = await make({ clock, ...rules });
  });

  const setAvailability = (
    driverId: DriverId,
    availability: Availability = 'available',
    { version = 1, product = defaultProduct }: { version?: number; product?: Product | null } = {},
  ) => index.setAvailabilities([{ driverId, version, availability, product }]);

  const recordAt = async (driverId: DriverId, point: LatLng, recordedAtMs = clock.nowMs()) => {
    const [outcome] = await index.record([{ driverId, point, recordedAtMs }]);
    return outcome;
  };

  async function putDriver(point: LatLng, product: Product = defaultProduct): Promise<DriverId> {
    const driverId = newDriver();
    await setAvailability(driverId, 'available', { product });
    await recordAt(driverId, point);
    return driverId;
  }

  /** Runs one complete scan of the sweep. */
  async function sweepAll(): Promise<number> {
    let forgotten = 0;
    for (let isMore = true; isMore; ) {
      const step = await index.sweep();
      forgotten += step.forgotten;
      isMore = step.isMore;
    }
    return forgotten;
  }

  const search = (options: Partial<Parameters<PositionIndex['nearest']>[0]> = {}) =>
    index.nearest({ point: benThanh, limit: 10, radiusMetresMax: farMetres, excluding: [], ...options });
  const found = async (options: Parameters<typeof search>[0] = {}) =>
    (await search(options)).map(({ driverId }) => driverId);

  return {
    getClock: () => clock,
    getIndex: () => index,
    newDriver,
    setAvailability,
    recordAt,
    putDriver,
    sweepAll,
    search,
    found,
  };
}

/** Searches over several products. */
function searchContract(name: string, make: MakeIndex) {
  const { getClock, newDriver, putDriver, recordAt, search, found } = setUpIndex(make, 'car');

  describe(`position index, ${name}; search`, () => {
    test('returns the nearest drivers first, with exact position and distance', async () => {
      const near = offsetPoint(benThanh, 120, -90);
      const far = offsetPoint(benThanh, -2_000, 1_500);
      const second = await putDriver(far, 'bike');
      const first = await putDriver(near);
      expect(await search()).toEqual([
        {
          driverId: first,
          product: 'car',
          point: { lat: expect.closeTo(near.lat, 8), lng: expect.closeTo(near.lng, 8) },
          recordedAtMs: getClock().nowMs(),
          distanceMetres: expect.closeTo(distanceMetres(benThanh, near), 2),
        },
        {
          driverId: second,
          product: 'bike',
          point: { lat: expect.closeTo(far.lat, 8), lng: expect.closeTo(far.lng, 8) },
          recordedAtMs: getClock().nowMs(),
          distanceMetres: expect.closeTo(distanceMetres(benThanh, far), 2),
        },
      ]);
    });

    test('returns only the requested product, at most `limit` drivers and no excluded ones', async () => {
      const bike = await putDriver(offsetPoint(benThanh, 10, 0), 'bike');
      const cars: DriverId[] = [];
      for (const metres of [20, 30, 40, 50]) cars.push(await putDriver(offsetPoint(benThanh, metres, 0)));
      const [first, second, third] = cars;
      expect(await found({ product: 'car', limit: 2 })).toEqual([first, second] as DriverId[]);
      expect(await found({ product: 'car', limit: 2, excluding: [first as DriverId] })).toEqual([
        second,
        third,
      ] as DriverId[]);
      expect(await found({ product: 'bike' })).toEqual([bike]);
      expect(await found({ product: 'car_xl' })).toEqual([]);
    });

    test('returns no driver beyond the radius', async () => {
      const inside = await putDriver(offsetPoint(benThanh, 990, 0));
      await putDriver(offsetPoint(benThanh, 1_010, 0));
      expect(await found({ radiusMetresMax: 1_000 })).toEqual([inside]);
    });

    test('finds a driver who moved only at the new position', async () => {
      const driverId = await putDriver(benThanh);
      await getClock().advance(25_000);
      await recordAt(driverId, offsetPoint(benThanh, 1_500, 0));
      expect(await found({ radiusMetresMax: 1_000 })).toEqual([]);
      expect(await found()).toEqual([driverId]);
    });

    test('finds drivers across the date line', async () => {
      const west = await putDriver({ lat: -16.8, lng: 179.9995 });
      const east = await putDriver({ lat: -16.8, lng: -179.999 });
      expect(await found({ point: { lat: -16.8, lng: 180 } })).toEqual([west, east]);
      expect(await found({ point: { lat: -16.8, lng: -179.9999 } })).toEqual([west, east]);
    });

    test('returns no driver at a pole, without an error', async () => {
      expect(await found({ point: { lat: 90, lng: 0 } })).toEqual([]);
      expect(await found({ point: { lat: -89.9, lng: 180 } })).toEqual([]);
    });

    test('finds the drivers of a crowd who are not excluded', async () => {
      const crowd: DriverId[] = [];
      for (let n = 0; n < 120; n++) crowd.push(await putDriver(offsetPoint(benThanh, n / 10, 0)));
      const edge = await putDriver(offsetPoint(benThanh, 3_000, 0));
      expect(await found({ limit: 5, excluding: crowd.slice(0, 110) })).toEqual(crowd.slice(110, 115));
      expect(await found({ limit: 5, excluding: crowd.slice(0, 119) })).toEqual([
        crowd[119] as DriverId,
        edge,
      ]);
    });

    test('agrees with a full scan of all drivers', async () => {
      const place = fc.record({
        east: fc.integer({ min: -6_000, max: 6_000 }),
        north: fc.integer({ min: -6_000, max: 6_000 }),
        product: fc.constantFrom(...productsOf(extendedTable)),
      });
      const centre = fc.constantFrom(
        benThanh,
        { lat: 0, lng: 0 },
        { lat: -41.29, lng: 174.78 },
        { lat: 69.65, lng: 18.96 },
        { lat: -16.8, lng: 179.999 },
      );
      const queries = fc.record({
        limit: fc.integer({ min: 1, max: 20 }),
        // Not an integer, so that no driver is exactly at the edge, where rounding decides.
        radiusMetresMax: fc.integer({ min: 50, max: 12_000 }).map((metres) => metres + 0.37),
      });
      await fc.assert(
        fc.asyncProperty(
          centre,
          fc.array(place, { maxLength: 80 }),
          queries,
          async (point, places, query) => {
            const fresh = await make({ clock: getClock(), ...rules });
            const drivers = places.map(({ east, north, product }) => ({
              driverId: newDriver(),
              product,
              point: offsetPoint(point, east, north),
            }));
            await fresh.setAvailabilities(
              drivers.map(({ driverId, product }) => ({
                driverId,
                product,
                version: 1,
                availability: 'available',
              })),
            );
            const recordedAtMs = getClock().nowMs();
            if (drivers.length > 0)
              await fresh.record(drivers.map((driver) => ({ ...driver, recordedAtMs })));
            for (const product of ['car', undefined] as const) {
              const got = await fresh.nearest({ point, product, excluding: [], ...query });
              const all = drivers
                .filter((driver) => product === undefined || driver.product === product)
                .map((driver) => distanceMetres(point, driver.point))
                .filter((metres) => metres <= query.radiusMetresMax)
                .sort((a, b) => a - b)
                .slice(0, query.limit);
              expect(got).toHaveLength(all.length);
              got.forEach((driver, index) => {
                expect(Math.abs(driver.distanceMetres - (all[index] ?? Number.NaN))).toBeLessThan(0.01);
              });
            }
          },
        ),
        { numRuns: 40 },
      );
    });
  });

  describe(`position index, ${name}; recall`, () => {
    test('misses no driver in crowds and gaps of any size, with busy, stale and excluded drivers among them', async () => {
      const crowd = fc.record({
        east: fc.integer({ min: -4_000, max: 4_000 }),
        north: fc.integer({ min: -4_000, max: 4_000 }),
        spreadMetres: fc.constantFrom(2, 40, 300, 3_000),
        size: fc.integer({ min: 1, max: 150 }),
      });
      const queries = fc.record({
        limit: fc.integer({ min: 1, max: 12 }),
        radiusMetresMax: fc.constantFrom(300.37, 5_000.37, 20_000.37),
        seed: fc.integer(),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(crowd, { minLength: 1, maxLength: 4 }), queries, async (crowds, query) => {
          const fresh = await make({ clock: getClock(), ...rules });
          const random = createSeededRandom(query.seed);
          const drivers = crowds.flatMap(({ east, north, spreadMetres, size }) =>
            Array.from({ length: size }, () => ({
              driverId: newDriver(),
              point: offsetPoint(
                benThanh,
                east + (random.next() - 0.5) * spreadMetres,
                north + (random.next() - 0.5) * spreadMetres,
              ),
              fate: Math.floor(random.next() * 8),
            })),
          );
          const availabilities = drivers.map(({ driverId, fate }) => {
            const availability: Availability = fate === 0 ? 'busy' : 'available';
            return { driverId, version: 1, availability, product: 'car' as const };
          });
          await fresh.setAvailabilities(availabilities);
          await fresh.record(
            drivers.map((driver) => ({
              ...driver,
              recordedAtMs: getClock().nowMs() - (driver.fate === 1 ? freshnessMs + 1 : 0),
            })),
          );
          await fresh.setAvailabilities(
            drivers
              .filter(({ fate }) => fate === 2)
              .map(({ driverId }) => ({ driverId, version: 2, availability: 'busy', product: 'car' })),
          );
          const excluding = drivers.filter(({ fate }) => fate === 3).map(({ driverId }) => driverId);
          const got = await fresh.nearest({ ...query, point: benThanh, excluding });
          const wanted = drivers
            .filter(({ fate }) => fate > 3)
            .map(({ point }) => distanceMetres(benThanh, point))
            .filter((metres) => metres <= query.radiusMetresMax)
            .sort((a, b) => a - b)
            .slice(0, query.limit);
          expect(got.map((driver) => driver.distanceMetres.toFixed(3))).toEqual(
            wanted.map((metres) => metres.toFixed(3)),
          );
        }),
        { numRuns: 40 },
      );
    }, 20_000);
  });
}

/** Everything that concerns the drivers of one product. */
function productContract(name: string, make: MakeIndex, product: Product) {
  const { getClock, getIndex, newDriver, setAvailability, recordAt, putDriver, sweepAll, search, found } =
    setUpIndex(make, product);
  const other: Product = product === 'bike' ? 'car' : 'bike';

  describe(`position index, ${name}; availability`, () => {
    test('hides busy and offline drivers until they are available again', async () => {
      const driverId = await putDriver(benThanh);
      await setAvailability(driverId, 'busy', { version: 2 });
      expect(await found()).toEqual([]);
      await setAvailability(driverId, 'available', { version: 3 });
      expect(await found()).toEqual([driverId]);
      await setAvailability(driverId, 'offline', { version: 4 });
      expect(await found()).toEqual([]);
    });

    test('forgets the position of a driver who went offline', async () => {
      const driverId = await putDriver(benThanh);
      await setAvailability(driverId, 'offline', { version: 2 });
      await setAvailability(driverId, 'available', { version: 3 });
      expect(await found()).toEqual([]);
      await recordAt(driverId, benThanh);
      expect(await found()).toEqual([driverId]);
    });

    test('finds a driver who moved while busy at the new position', async () => {
      const driverId = await putDriver(benThanh);
      await setAvailability(driverId, 'busy', { version: 2 });
      const there = offsetPoint(benThanh, 200, 0);
      expect(await recordAt(driverId, there)).toMatchObject({ kind: 'stored', busy: true });
      await setAvailability(driverId, 'available', { version: 3 });
      expect(await found({ radiusMetresMax: 100 })).toEqual([]);
      expect(await found({ point: there, radiusMetresMax: 100 })).toEqual([driverId]);
    });

    test('ignores an availability older than the stored one', async () => {
      const driverId = await putDriver(benThanh);
      await setAvailability(driverId, 'busy', { version: 5 });
      await setAvailability(driverId, 'available', { version: 4 });
      expect(await found()).toEqual([]);
    });

    test('finds a driver who changed vehicles by the new product only', async () => {
      const driverId = await putDriver(benThanh, other);
      await setAvailability(driverId, 'available', { version: 2, product });
      expect(await found({ product: other })).toEqual([]);
      expect(await found({ product })).toEqual([driverId]);
    });

    test('never finds a driver without a vehicle', async () => {
      const driverId = newDriver();
      await setAvailability(driverId, 'available', { product: null });
      await recordAt(driverId, benThanh);
      expect(await found()).toEqual([]);
    });
  });

  describe(`position index, ${name}; positions`, () => {
    test('returns one outcome for each update of a batch, in order', async () => {
      const [known, offline, unknown] = [newDriver(), newDriver(), newDriver()];
      await setAvailability(known);
      await setAvailability(offline, 'offline');
      const recordedAtMs = getClock().nowMs();
      const batch = [unknown, known, offline].map((driverId) => ({
        driverId,
        point: benThanh,
        recordedAtMs,
      }));
      expect(await getIndex().record(batch)).toEqual([
        { kind: 'unknown' },
        { kind: 'stored', busy: false, previousMs: undefined, recheck: false },
        { kind: 'offline' },
      ]);
      expect(await found()).toEqual([known]);
    });

    test('rejects an older position and accepts the same one again', async () => {
      const driverId = await putDriver(benThanh);
      const previousMs = getClock().nowMs();
      const elsewhere = offsetPoint(benThanh, 900, 0);
      expect(await recordAt(driverId, elsewhere, previousMs - 1)).toEqual({
        kind: 'outdated',
        previousMs,
        recheck: false,
      });
      expect(await found({ radiusMetresMax: 10 })).toEqual([driverId]);
      expect(await recordAt(driverId, benThanh, previousMs)).toEqual({
        kind: 'stored',
        busy: false,
        previousMs,
        recheck: false,
      });
    });

    test('rejects a position beyond the maximum speed and keeps the stored one', async () => {
      const driverId = await putDriver(benThanh);
      await getClock().advance(4_000);
      const previousMs = getClock().nowMs() - 4_000;
      // 4 s at 70 m/s, plus the 250 m that a position may jump.
      const tooFar = offsetPoint(benThanh, 540, 0);
      expect(await recordAt(driverId, tooFar)).toEqual({ kind: 'too_fast', previousMs, recheck: false });
      expect(await found({ radiusMetresMax: 10 })).toEqual([driverId]);
      const justSo = offsetPoint(benThanh, 520, 0);
      expect(await recordAt(driverId, justSo)).toMatchObject({ kind: 'stored' });
      expect(await found({ point: justSo, radiusMetresMax: 10 })).toEqual([driverId]);
    });

    test('ignores a wrong stored position once it is stale', async () => {
      const driverId = await putDriver(offsetPoint(benThanh, 300_000, 0));
      await getClock().advance(freshnessMs);
      expect(await recordAt(driverId, benThanh)).toMatchObject({ kind: 'too_fast' });
      await getClock().advance(1);
      expect(await recordAt(driverId, benThanh)).toMatchObject({ kind: 'stored' });
      expect(await found()).toEqual([driverId]);
    });

    test('replaces a wrong first position after two consecutive ones that agree', async () => {
      const driverId = await putDriver({ lat: 0, lng: 0 });
      await getClock().advance(4_000);
      expect(await recordAt(driverId, benThanh)).toMatchObject({ kind: 'too_fast' });
      expect(await found()).toEqual([]);
      await getClock().advance(4_000);
      expect(await recordAt(driverId, offsetPoint(benThanh, 40, 0))).toMatchObject({ kind: 'stored' });
      expect(await found()).toEqual([driverId]);
      expect(await found({ point: { lat: 0, lng: 0 } })).toEqual([]);
      await getClock().advance(4_000);
      expect(await recordAt(driverId, offsetPoint(benThanh, 80, 0))).toMatchObject({ kind: 'stored' });
    });

    test('ignores a recurring outlier in a valid series', async () => {
      const driverId = await putDriver(benThanh);
      const outlier = offsetPoint(benThanh, 9_000, 0);
      for (let n = 1; n <= 5; n++) {
        await getClock().advance(1_000);
        expect(await recordAt(driverId, outlier)).toMatchObject({ kind: 'too_fast' });
        await getClock().advance(1_000);
        expect(await recordAt(driverId, offsetPoint(benThanh, n * 20, 0))).toMatchObject({ kind: 'stored' });
      }
      expect(await found({ radiusMetresMax: 200 })).toEqual([driverId]);
    });

    test('counts an outlier that is sent twice once, and two that contradict each other not at all', async () => {
      const driverId = await putDriver(benThanh);
      await getClock().advance(1_000);
      const outlier = offsetPoint(benThanh, 9_000, 0);
      expect(await recordAt(driverId, outlier)).toMatchObject({ kind: 'too_fast' });
      expect(await recordAt(driverId, outlier)).toMatchObject({ kind: 'too_fast' });
      await getClock().advance(1_000);
      const other = offsetPoint(benThanh, 0, 9_000);
      expect(await recordAt(driverId, other)).toMatchObject({ kind: 'too_fast' });
      await getClock().advance(1_000);
      expect(await recordAt(driverId, outlier)).toMatchObject({ kind: 'too_fast' });
      expect(await found({ radiusMetresMax: 10 })).toEqual([driverId]);
    });

    test('finds a driver after a tunnel or a ferry at the second position there', async () => {
      const driverId = await putDriver(benThanh);
      for (let n = 1; n <= 3; n++) {
        await getClock().advance(1_000);
        await recordAt(driverId, offsetPoint(benThanh, n * 20, 0));
      }
      await getClock().advance(20_000);
      const there = offsetPoint(benThanh, 6_000, 0);
      expect(await recordAt(driverId, there)).toMatchObject({ kind: 'too_fast' });
      await setAvailability(driverId, 'busy', { version: 2 });
      await getClock().advance(1_000);
      expect(await recordAt(driverId, offsetPoint(there, 20, 0))).toMatchObject({
        kind: 'stored',
        busy: true,
      });
      await setAvailability(driverId, 'available', { version: 3 });
      expect(await found({ point: there, radiusMetresMax: 100 })).toEqual([driverId]);
    });

    test('forgets a rejected position when the driver goes offline', async () => {
      const driverId = await putDriver(benThanh);
      await getClock().advance(1_000);
      const there = offsetPoint(benThanh, 9_000, 0);
      await recordAt(driverId, there);
      await setAvailability(driverId, 'offline', { version: 2 });
      await setAvailability(driverId, 'available', { version: 3 });
      await recordAt(driverId, benThanh);
      await getClock().advance(1_000);
      expect(await recordAt(driverId, there)).toMatchObject({ kind: 'too_fast' });
    });

    test('accepts a large batch', async () => {
      const drivers = Array.from({ length: 1_000 }, newDriver);
      await getIndex().setAvailabilities(
        drivers.map((driverId) => ({ driverId, version: 1, availability: 'available', product })),
      );
      const recordedAtMs = getClock().nowMs();
      const updates = drivers.map((driverId, n) => ({
        driverId,
        point: offsetPoint(benThanh, n * 7, 0),
        recordedAtMs,
      }));
      const outcomes = await getIndex().record(updates);
      expect(outcomes.filter(({ kind }) => kind === 'stored')).toHaveLength(1_000);
      expect(await found({ limit: 50 })).toEqual(drivers.slice(0, 50));
    });

    test('stores very small coordinates exactly', async () => {
      await putDriver({ lat: 0.00000012, lng: -0.0000003 });
      const [nearest] = await search({ point: { lat: 0, lng: 0 } });
      expect(nearest?.distanceMetres).toBeLessThan(0.1);
    });

    test('trusts "offline" only for the offline lease', async () => {
      const driverId = newDriver();
      await setAvailability(driverId, 'offline');
      await getClock().advance(offlineLeaseMs);
      expect(await recordAt(driverId, benThanh)).toEqual({ kind: 'offline' });
      await getClock().advance(1);
      expect(await recordAt(driverId, benThanh)).toEqual({ kind: 'unknown' });
    });

    test('asks for a recheck of an availability after its lease', async () => {
      const driverId = await putDriver(benThanh);
      await getClock().advance(availabilityLeaseMs);
      expect(await recordAt(driverId, benThanh)).toMatchObject({ kind: 'stored', recheck: false });
      await getClock().advance(1);
      expect(await recordAt(driverId, benThanh)).toMatchObject({ kind: 'stored', recheck: true });
      expect(await recordAt(driverId, benThanh, getClock().nowMs() - 1)).toMatchObject({ recheck: true });
      await setAvailability(driverId);
      expect(await recordAt(driverId, benThanh)).toMatchObject({ kind: 'stored', recheck: false });
    });
  });

  describe(`position index, ${name}; freshness`, () => {
    test('uses a position for the freshness window and not longer', async () => {
      const driverId = await putDriver(benThanh);
      await getClock().advance(freshnessMs);
      expect(await found()).toEqual([driverId]);
      await getClock().advance(1);
      expect(await found()).toEqual([]);
    });

    test('uses the time of the fix, not the time of arrival', async () => {
      const driverId = newDriver();
      await setAvailability(driverId);
      await recordAt(driverId, benThanh, getClock().nowMs() - freshnessMs + 10);
      expect(await found()).toEqual([driverId]);
      await getClock().advance(11);
      expect(await found()).toEqual([]);
    });

    test('sweeps exactly the silent ones of thousands of drivers', async () => {
      const drivers = Array.from({ length: 2_000 }, newDriver);
      for (let at = 0; at < drivers.length; at += 500) {
        const batch = drivers.slice(at, at + 500);
        await getIndex().setAvailabilities(
          batch.map((driverId) => ({ driverId, version: 1, availability: 'available', product })),
        );
      }
      const active = drivers.filter((_, n) => n % 3 === 0);
      await getClock().advance(freshnessMs + 1);
      const recordedAtMs = getClock().nowMs();
      await getIndex().record(active.map((driverId) => ({ driverId, point: benThanh, recordedAtMs })));
      expect(await sweepAll()).toBe(drivers.length - active.length);
      expect(await sweepAll()).toBe(0);
      const outcomes = await getIndex().record(
        active.map((driverId) => ({ driverId, point: benThanh, recordedAtMs })),
      );
      expect(outcomes.every(({ kind }) => kind === 'stored')).toBe(true);
    });

    test('sweeps silent drivers and keeps the others', async () => {
      const silent = await putDriver(benThanh);
      await getClock().advance(freshnessMs);
      const active = await putDriver(benThanh);
      expect(await sweepAll()).toBe(0);
      await getClock().advance(1);
      expect(await sweepAll()).toBe(1);
      expect(await recordAt(silent, benThanh)).toEqual({ kind: 'unknown' });
      expect(await recordAt(active, benThanh)).toMatchObject({ kind: 'stored' });
      expect(await sweepAll()).toBe(0);
    });
  });
}
