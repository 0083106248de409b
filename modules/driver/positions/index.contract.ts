import { beforeEach, describe, expect, test } from 'bun:test';
import type { Product } from '@contracts/drivers.ts';
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

/** What every adapter of the position index promises. `make` gives an empty index each time. */
export function positionIndexContract(
  name: string,
  make: (options: PositionIndexDeps) => PositionIndex | Promise<PositionIndex>,
) {
  const newId = createIds(createManualClock(0), createSeededRandom(11));
  const newDriver = () => newId<DriverId>();
  let clock: ManualClock;
  let index: PositionIndex;

  beforeEach(async () => {
    clock = createManualClock(Date.parse('2026-11-22T08:00:00Z'));
    index = await make({ clock, ...rules });
  });

  const stand = (
    driverId: DriverId,
    availability: Availability = 'available',
    { version = 1, product = 'car' }: { version?: number; product?: Product | null } = {},
  ) => index.setAvailabilities([{ driverId, version, availability, product }]);

  const recordAt = async (driverId: DriverId, point: LatLng, recordedAtMs = clock.nowMs()) => {
    const [outcome] = await index.record([{ driverId, point, recordedAtMs }]);
    return outcome;
  };

  async function putDriver(point: LatLng, product: Product = 'car'): Promise<DriverId> {
    const driverId = newDriver();
    await stand(driverId, 'available', { product });
    await recordAt(driverId, point);
    return driverId;
  }

  /** A whole walk of the sweep. */
  async function sweptAway(): Promise<number> {
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

  describe(`position index, ${name}: search`, () => {
    test('the nearest come first, with their exact place and distance', async () => {
      const near = offsetPoint(benThanh, 120, -90);
      const far = offsetPoint(benThanh, -2_000, 1_500);
      const second = await putDriver(far, 'bike');
      const first = await putDriver(near);
      expect(await search()).toEqual([
        {
          driverId: first,
          product: 'car',
          point: { lat: expect.closeTo(near.lat, 8), lng: expect.closeTo(near.lng, 8) },
          recordedAtMs: clock.nowMs(),
          distanceMetres: expect.closeTo(distanceMetres(benThanh, near), 2),
        },
        {
          driverId: second,
          product: 'bike',
          point: { lat: expect.closeTo(far.lat, 8), lng: expect.closeTo(far.lng, 8) },
          recordedAtMs: clock.nowMs(),
          distanceMetres: expect.closeTo(distanceMetres(benThanh, far), 2),
        },
      ]);
    });

    test('only the product that was asked for, no more than the limit, none of those left out', async () => {
      const bike = await putDriver(offsetPoint(benThanh, 10, 0), 'bike');
      const cars: DriverId[] = [];
      for (const metres of [20, 30, 40, 50]) cars.push(await putDriver(offsetPoint(benThanh, metres, 0)));
      const [one, two, three] = cars;
      expect(await found({ product: 'car', limit: 2 })).toEqual([one, two] as DriverId[]);
      expect(await found({ product: 'car', limit: 2, excluding: [one as DriverId] })).toEqual([
        two,
        three,
      ] as DriverId[]);
      expect(await found({ product: 'bike' })).toEqual([bike]);
      expect(await found({ product: 'car_xl' })).toEqual([]);
    });

    test('nobody beyond the radius', async () => {
      const inside = await putDriver(offsetPoint(benThanh, 990, 0));
      await putDriver(offsetPoint(benThanh, 1_010, 0));
      expect(await found({ radiusMetresMax: 1_000 })).toEqual([inside]);
    });

    test('a driver who moved is found at the new place only', async () => {
      const driverId = await putDriver(benThanh);
      await clock.advance(25_000);
      await recordAt(driverId, offsetPoint(benThanh, 1_500, 0));
      expect(await found({ radiusMetresMax: 1_000 })).toEqual([]);
      expect(await found()).toEqual([driverId]);
    });

    test('across the date line', async () => {
      const west = await putDriver({ lat: -16.8, lng: 179.9995 });
      const east = await putDriver({ lat: -16.8, lng: -179.999 });
      expect(await found({ point: { lat: -16.8, lng: 180 } })).toEqual([west, east]);
      expect(await found({ point: { lat: -16.8, lng: -179.9999 } })).toEqual([west, east]);
    });

    test('a search at the pole finds nobody, and does not fail', async () => {
      expect(await found({ point: { lat: 90, lng: 0 } })).toEqual([]);
      expect(await found({ point: { lat: -89.9, lng: 180 } })).toEqual([]);
    });

    test('where drivers crowd at one spot, those not left out are still found', async () => {
      const crowd: DriverId[] = [];
      for (let n = 0; n < 120; n++) crowd.push(await putDriver(offsetPoint(benThanh, n / 10, 0)));
      const edge = await putDriver(offsetPoint(benThanh, 3_000, 0));
      expect(await found({ limit: 5, excluding: crowd.slice(0, 110) })).toEqual(crowd.slice(110, 115));
      expect(await found({ limit: 5, excluding: crowd.slice(0, 119) })).toEqual([
        crowd[119] as DriverId,
        edge,
      ]);
    });

    test('agrees with a look at every single driver', async () => {
      const place = fc.record({
        east: fc.integer({ min: -6_000, max: 6_000 }),
        north: fc.integer({ min: -6_000, max: 6_000 }),
        product: fc.constantFrom<Product>('bike', 'car'),
      });
      const centre = fc.constantFrom(
        benThanh,
        { lat: 0, lng: 0 },
        { lat: -41.29, lng: 174.78 },
        { lat: 69.65, lng: 18.96 },
        { lat: -16.8, lng: 179.999 },
      );
      const asked = fc.record({
        limit: fc.integer({ min: 1, max: 20 }),
        // Not a whole number, so that no driver is at the very edge, where the last digit decides.
        radiusMetresMax: fc.integer({ min: 50, max: 12_000 }).map((metres) => metres + 0.37),
      });
      await fc.assert(
        fc.asyncProperty(centre, fc.array(place, { maxLength: 80 }), asked, async (point, places, query) => {
          const fresh = await make({ clock, ...rules });
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
          const recordedAtMs = clock.nowMs();
          if (drivers.length > 0) await fresh.record(drivers.map((one) => ({ ...one, recordedAtMs })));
          for (const product of ['car', undefined] as const) {
            const got = await fresh.nearest({ point, product, excluding: [], ...query });
            const all = drivers
              .filter((one) => product === undefined || one.product === product)
              .map((one) => distanceMetres(point, one.point))
              .filter((metres) => metres <= query.radiusMetresMax)
              .sort((a, b) => a - b)
              .slice(0, query.limit);
            expect(got).toHaveLength(all.length);
            got.forEach((one, place) => {
              expect(Math.abs(one.distanceMetres - (all[place] ?? Number.NaN))).toBeLessThan(0.01);
            });
          }
        }),
        { numRuns: 40 },
      );
    });
  });

  describe(`position index, ${name}: recall`, () => {
    test('in crowds and gaps of any size nobody is missed, whoever is held, stale, busy or left out', async () => {
      const crowd = fc.record({
        east: fc.integer({ min: -4_000, max: 4_000 }),
        north: fc.integer({ min: -4_000, max: 4_000 }),
        spreadMetres: fc.constantFrom(2, 40, 300, 3_000),
        size: fc.integer({ min: 1, max: 150 }),
      });
      const asked = fc.record({
        limit: fc.integer({ min: 1, max: 12 }),
        radiusMetresMax: fc.constantFrom(300.37, 5_000.37, 20_000.37),
        seed: fc.integer(),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(crowd, { minLength: 1, maxLength: 4 }), asked, async (crowds, query) => {
          const fresh = await make({ clock, ...rules });
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
          const standings = drivers.map(({ driverId, fate }) => {
            const availability: Availability = fate === 0 ? 'busy' : 'available';
            return { driverId, version: 1, availability, product: 'car' as const };
          });
          await fresh.setAvailabilities(standings);
          await fresh.record(
            drivers.map((one) => ({
              ...one,
              recordedAtMs: clock.nowMs() - (one.fate === 1 ? freshnessMs + 1 : 0),
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
          expect(got.map((one) => one.distanceMetres.toFixed(3))).toEqual(
            wanted.map((metres) => metres.toFixed(3)),
          );
        }),
        { numRuns: 40 },
      );
    }, 20_000);
  });

  describe(`position index, ${name}: who may be asked`, () => {
    test('busy and offline drivers are not found, and found again once available', async () => {
      const driverId = await putDriver(benThanh);
      await stand(driverId, 'busy', { version: 2 });
      expect(await found()).toEqual([]);
      await stand(driverId, 'available', { version: 3 });
      expect(await found()).toEqual([driverId]);
      await stand(driverId, 'offline', { version: 4 });
      expect(await found()).toEqual([]);
    });

    test('the place of a driver who went offline is forgotten', async () => {
      const driverId = await putDriver(benThanh);
      await stand(driverId, 'offline', { version: 2 });
      await stand(driverId, 'available', { version: 3 });
      expect(await found()).toEqual([]);
      await recordAt(driverId, benThanh);
      expect(await found()).toEqual([driverId]);
    });

    test('a busy driver who moves is found where he became free', async () => {
      const driverId = await putDriver(benThanh);
      await stand(driverId, 'busy', { version: 2 });
      const there = offsetPoint(benThanh, 200, 0);
      expect(await recordAt(driverId, there)).toMatchObject({ kind: 'stored', busy: true });
      await stand(driverId, 'available', { version: 3 });
      expect(await found({ radiusMetresMax: 100 })).toEqual([]);
      expect(await found({ point: there, radiusMetresMax: 100 })).toEqual([driverId]);
    });

    test('what the database said earlier never replaces what it said later', async () => {
      const driverId = await putDriver(benThanh);
      await stand(driverId, 'busy', { version: 5 });
      await stand(driverId, 'available', { version: 4 });
      expect(await found()).toEqual([]);
    });

    test('a driver in another vehicle is found as that', async () => {
      const driverId = await putDriver(benThanh, 'bike');
      await stand(driverId, 'available', { version: 2, product: 'car_xl' });
      expect(await found({ product: 'bike' })).toEqual([]);
      expect(await found({ product: 'car_xl' })).toEqual([driverId]);
    });

    test('a driver without a vehicle is never found', async () => {
      const driverId = newDriver();
      await stand(driverId, 'available', { product: null });
      await recordAt(driverId, benThanh);
      expect(await found()).toEqual([]);
    });
  });

  describe(`position index, ${name}: positions`, () => {
    test('each update of a batch gets its own outcome, in order', async () => {
      const [known, offline, stranger] = [newDriver(), newDriver(), newDriver()];
      await stand(known);
      await stand(offline, 'offline');
      const recordedAtMs = clock.nowMs();
      const batch = [stranger, known, offline].map((driverId) => ({
        driverId,
        point: benThanh,
        recordedAtMs,
      }));
      expect(await index.record(batch)).toEqual([
        { kind: 'unknown' },
        { kind: 'stored', busy: false, previousMs: undefined, recheck: false },
        { kind: 'offline' },
      ]);
      expect(await found()).toEqual([known]);
    });

    test('an older position changes nothing, the same one again is taken', async () => {
      const driverId = await putDriver(benThanh);
      const previousMs = clock.nowMs();
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

    test('nobody gets farther than the fastest car, and what is too far changes nothing', async () => {
      const driverId = await putDriver(benThanh);
      await clock.advance(4_000);
      const previousMs = clock.nowMs() - 4_000;
      // 4 s at 70 m/s, and the 250 m that a fix may be off.
      const tooFar = offsetPoint(benThanh, 540, 0);
      expect(await recordAt(driverId, tooFar)).toEqual({ kind: 'too_fast', previousMs, recheck: false });
      expect(await found({ radiusMetresMax: 10 })).toEqual([driverId]);
      const justSo = offsetPoint(benThanh, 520, 0);
      expect(await recordAt(driverId, justSo)).toMatchObject({ kind: 'stored' });
      expect(await found({ point: justSo, radiusMetresMax: 10 })).toEqual([driverId]);
    });

    test('a wrong position stands in nobody’s way once it is stale', async () => {
      const driverId = await putDriver(offsetPoint(benThanh, 300_000, 0));
      await clock.advance(freshnessMs);
      expect(await recordAt(driverId, benThanh)).toMatchObject({ kind: 'too_fast' });
      await clock.advance(1);
      expect(await recordAt(driverId, benThanh)).toMatchObject({ kind: 'stored' });
      expect(await found()).toEqual([driverId]);
    });

    test('two positions in a row outweigh a first one that was wrong', async () => {
      const driverId = await putDriver({ lat: 0, lng: 0 });
      await clock.advance(4_000);
      expect(await recordAt(driverId, benThanh)).toMatchObject({ kind: 'too_fast' });
      expect(await found()).toEqual([]);
      await clock.advance(4_000);
      expect(await recordAt(driverId, offsetPoint(benThanh, 40, 0))).toMatchObject({ kind: 'stored' });
      expect(await found()).toEqual([driverId]);
      expect(await found({ point: { lat: 0, lng: 0 } })).toEqual([]);
      await clock.advance(4_000);
      expect(await recordAt(driverId, offsetPoint(benThanh, 80, 0))).toMatchObject({ kind: 'stored' });
    });

    test('a glitch in a good series changes nothing, however often it comes again', async () => {
      const driverId = await putDriver(benThanh);
      const glitch = offsetPoint(benThanh, 9_000, 0);
      for (let n = 1; n <= 5; n++) {
        await clock.advance(1_000);
        expect(await recordAt(driverId, glitch)).toMatchObject({ kind: 'too_fast' });
        await clock.advance(1_000);
        expect(await recordAt(driverId, offsetPoint(benThanh, n * 20, 0))).toMatchObject({ kind: 'stored' });
      }
      expect(await found({ radiusMetresMax: 200 })).toEqual([driverId]);
    });

    test('a glitch that is sent twice is one position, and two that contradict one another are none', async () => {
      const driverId = await putDriver(benThanh);
      await clock.advance(1_000);
      const glitch = offsetPoint(benThanh, 9_000, 0);
      expect(await recordAt(driverId, glitch)).toMatchObject({ kind: 'too_fast' });
      expect(await recordAt(driverId, glitch)).toMatchObject({ kind: 'too_fast' });
      await clock.advance(1_000);
      const other = offsetPoint(benThanh, 0, 9_000);
      expect(await recordAt(driverId, other)).toMatchObject({ kind: 'too_fast' });
      await clock.advance(1_000);
      expect(await recordAt(driverId, glitch)).toMatchObject({ kind: 'too_fast' });
      expect(await found({ radiusMetresMax: 10 })).toEqual([driverId]);
    });

    test('a driver who comes out of a tunnel or off a ferry is found there at the second position', async () => {
      const driverId = await putDriver(benThanh);
      for (let n = 1; n <= 3; n++) {
        await clock.advance(1_000);
        await recordAt(driverId, offsetPoint(benThanh, n * 20, 0));
      }
      await clock.advance(20_000);
      const there = offsetPoint(benThanh, 6_000, 0);
      expect(await recordAt(driverId, there)).toMatchObject({ kind: 'too_fast' });
      await stand(driverId, 'busy', { version: 2 });
      await clock.advance(1_000);
      expect(await recordAt(driverId, offsetPoint(there, 20, 0))).toMatchObject({
        kind: 'stored',
        busy: true,
      });
      await stand(driverId, 'available', { version: 3 });
      expect(await found({ point: there, radiusMetresMax: 100 })).toEqual([driverId]);
    });

    test('what was refused before a driver went offline is forgotten', async () => {
      const driverId = await putDriver(benThanh);
      await clock.advance(1_000);
      const there = offsetPoint(benThanh, 9_000, 0);
      await recordAt(driverId, there);
      await stand(driverId, 'offline', { version: 2 });
      await stand(driverId, 'available', { version: 3 });
      await recordAt(driverId, benThanh);
      await clock.advance(1_000);
      expect(await recordAt(driverId, there)).toMatchObject({ kind: 'too_fast' });
    });

    test('a large batch is taken whole', async () => {
      const drivers = Array.from({ length: 1_000 }, newDriver);
      await index.setAvailabilities(
        drivers.map((driverId) => ({ driverId, version: 1, availability: 'available', product: 'car' })),
      );
      const recordedAtMs = clock.nowMs();
      const updates = drivers.map((driverId, n) => ({
        driverId,
        point: offsetPoint(benThanh, n * 7, 0),
        recordedAtMs,
      }));
      const outcomes = await index.record(updates);
      expect(outcomes.filter(({ kind }) => kind === 'stored')).toHaveLength(1_000);
      expect(await found({ limit: 50 })).toEqual(drivers.slice(0, 50));
    });

    test('tiny and exact coordinates survive', async () => {
      await putDriver({ lat: 0.00000012, lng: -0.0000003 });
      const [one] = await search({ point: { lat: 0, lng: 0 } });
      expect(one?.distanceMetres).toBeLessThan(0.1);
    });

    test('an offline driver is taken at his word for a moment only', async () => {
      const driverId = newDriver();
      await stand(driverId, 'offline');
      await clock.advance(offlineLeaseMs);
      expect(await recordAt(driverId, benThanh)).toEqual({ kind: 'offline' });
      await clock.advance(1);
      expect(await recordAt(driverId, benThanh)).toEqual({ kind: 'unknown' });
    });

    test('a standing that was not confirmed for a while asks to be', async () => {
      const driverId = await putDriver(benThanh);
      await clock.advance(availabilityLeaseMs);
      expect(await recordAt(driverId, benThanh)).toMatchObject({ kind: 'stored', recheck: false });
      await clock.advance(1);
      expect(await recordAt(driverId, benThanh)).toMatchObject({ kind: 'stored', recheck: true });
      expect(await recordAt(driverId, benThanh, clock.nowMs() - 1)).toMatchObject({ recheck: true });
      await stand(driverId);
      expect(await recordAt(driverId, benThanh)).toMatchObject({ kind: 'stored', recheck: false });
    });
  });

  describe(`position index, ${name}: freshness`, () => {
    test('a position counts for the freshness window and not longer', async () => {
      const driverId = await putDriver(benThanh);
      await clock.advance(freshnessMs);
      expect(await found()).toEqual([driverId]);
      await clock.advance(1);
      expect(await found()).toEqual([]);
    });

    test('the time of the phone counts, not that of arrival', async () => {
      const driverId = newDriver();
      await stand(driverId);
      await recordAt(driverId, benThanh, clock.nowMs() - freshnessMs + 10);
      expect(await found()).toEqual([driverId]);
      await clock.advance(11);
      expect(await found()).toEqual([]);
    });

    test('of thousands of drivers the silent ones are swept, and only they', async () => {
      const drivers = Array.from({ length: 2_000 }, newDriver);
      for (let at = 0; at < drivers.length; at += 500) {
        const some = drivers.slice(at, at + 500);
        await index.setAvailabilities(
          some.map((driverId) => ({ driverId, version: 1, availability: 'available', product: 'car' })),
        );
      }
      const loud = drivers.filter((_, n) => n % 3 === 0);
      await clock.advance(freshnessMs + 1);
      const recordedAtMs = clock.nowMs();
      await index.record(loud.map((driverId) => ({ driverId, point: benThanh, recordedAtMs })));
      expect(await sweptAway()).toBe(drivers.length - loud.length);
      expect(await sweptAway()).toBe(0);
      const outcomes = await index.record(
        loud.map((driverId) => ({ driverId, point: benThanh, recordedAtMs })),
      );
      expect(outcomes.every(({ kind }) => kind === 'stored')).toBe(true);
    });

    test('silent drivers are swept, others stay', async () => {
      const silent = await putDriver(benThanh);
      await clock.advance(freshnessMs);
      const loud = await putDriver(benThanh);
      expect(await sweptAway()).toBe(0);
      await clock.advance(1);
      expect(await sweptAway()).toBe(1);
      expect(await recordAt(silent, benThanh)).toEqual({ kind: 'unknown' });
      expect(await recordAt(loud, benThanh)).toMatchObject({ kind: 'stored' });
      expect(await sweptAway()).toBe(0);
    });
  });
}
