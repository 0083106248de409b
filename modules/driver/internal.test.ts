import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { formatTimestamp, headers } from '@contracts/common.ts';
import { offsetPoint } from '@contracts/geo.ts';
import type { DriverId, TripId } from '@contracts/ids.ts';
import { createTestDriver, type TestDriver } from './testing/harness.ts';

let driver: TestDriver;
beforeAll(async () => {
  driver = await createTestDriver();
});
afterAll(() => driver.close());

// Each test uses its own town, so that no test finds the drivers of another.
let towns = 0;
const newTown = () => ({ lat: 8 + ++towns / 2, lng: 105 });

const post = (path: string, body: unknown) => driver.send('POST', `/internal/driver/${path}`, { body });
const sendPosition = (driverId: DriverId, place: { lat: number; lng: number }) =>
  driver.send('PUT', '/v1/drivers/me/location', { as: [driverId, 'driver'], body: place });
const at = (offsetMs: number) => formatTimestamp(driver.clock.nowMs() + offsetMs);

describe('the candidates route', () => {
  test('returns drivers nearest first with position and distance, without the excluded ones', async () => {
    const town = newTown();
    const far = await driver.createAvailableDriver();
    const near = await driver.createAvailableDriver();
    await sendPosition(far, offsetPoint(town, 2_000, 0));
    await sendPosition(near, offsetPoint(town, 0, 300));
    const query = { pickup: town, product: 'car', limit: 5, excluding: [] };
    expect(await post('candidates', query)).toMatchObject({
      status: 200,
      json: {
        candidates: [
          { driverId: near, distanceMetres: expect.closeTo(300, 0) },
          { driverId: far, distanceMetres: expect.closeTo(2_000, 0) },
        ],
      },
    });
    expect(await post('candidates', { ...query, excluding: [near] })).toMatchObject({
      json: { candidates: [{ driverId: far }] },
    });
    expect(await post('candidates', { ...query, limit: 1 })).toMatchObject({
      json: { candidates: [{ driverId: near }] },
    });
    expect(await post('candidates', { ...query, product: 'bike' })).toMatchObject({
      json: { candidates: [] },
    });
  });

  test('replaces a driver whose availability in the index is wrong with the next one', async () => {
    const town = newTown();
    const [offline, next] = [await driver.createAvailableDriver(), await driver.createAvailableDriver()];
    await sendPosition(offline, town);
    await sendPosition(next, offsetPoint(town, 1_000, 0));
    // The row says offline; the index was not updated.
    await driver.database.primary`
      update drivers set status = 'offline', wants = 'offline', version = version + 1 where id = ${offline}`;
    const query = { pickup: town, product: 'car', limit: 1, excluding: [] };
    expect(await post('candidates', query)).toMatchObject({ json: { candidates: [{ driverId: next }] } });
  });

  test.each([
    ['a query without pickup', { product: 'car', limit: 1, excluding: [] }],
    ['a limit above the maximum', { pickup: { lat: 1, lng: 1 }, product: 'car', limit: 51, excluding: [] }],
    ['an invalid driver id', { pickup: { lat: 1, lng: 1 }, product: 'car', limit: 1, excluding: ['x'] }],
  ])('rejects %s', async (_, body) => {
    expect(await post('candidates', body)).toMatchObject({ status: 400, code: 'request.invalid' });
  });
});

describe('the holds route', () => {
  test('rejects a hold whose time to live exceeds the maximum', async () => {
    const ids = { driverId: driver.ids<DriverId>(), tripId: driver.ids<TripId>() };
    const body = { ...ids, version: 1, product: 'car', ttlMs: 1e9 };
    expect(await post('holds', body)).toMatchObject({ status: 400, code: 'request.invalid' });
  });
});

describe('the positions route', () => {
  test('answers for each driver separately', async () => {
    const town = newTown();
    const [working, offline] = [await driver.createAvailableDriver(), driver.ids<DriverId>()];
    const updates = [
      { driverId: offline, points: [town, town] },
      {
        driverId: working,
        points: [
          { ...town, recordedAt: at(-60_000) },
          town,
          town,
          { ...town, accuracyMetres: 900 },
          { lat: town.lat + 1, lng: town.lng, recordedAt: at(1) },
        ],
      },
      { driverId: working, points: [] },
    ];
    expect(await post('positions', { updates })).toMatchObject({
      status: 200,
      json: {
        results: [
          {
            driverId: offline,
            accepted: 0,
            refused: [
              { index: 0, code: 'driver.offline' },
              { index: 1, code: 'driver.offline' },
            ],
          },
          {
            driverId: working,
            accepted: 2,
            refused: [
              { index: 0, code: 'position.stale' },
              { index: 3, code: 'position.inaccurate' },
              { index: 4, code: 'position.too_fast' },
            ],
          },
          { driverId: working, accepted: 0, refused: [] },
        ],
      },
    });
  });
});

describe('a caller without a service token', () => {
  test.each(['candidates', 'holds', 'releases', 'positions'])('is rejected by the %s route', async (path) => {
    const body = {
      candidates: { pickup: { lat: 1, lng: 1 }, product: 'car', limit: 1, excluding: [] },
      holds: {
        driverId: driver.ids<DriverId>(),
        tripId: driver.ids<TripId>(),
        version: 1,
        product: 'car',
        ttlMs: 1_000,
      },
      releases: { driverId: driver.ids<DriverId>(), tripId: driver.ids<TripId>(), version: 1 },
      positions: { updates: [{ driverId: driver.ids<DriverId>(), points: [{ lat: 1, lng: 1 }] }] },
    }[path];
    for (const token of [undefined, 'x'.repeat(32)]) {
      const response = await driver.context.internalRoutes.handle(
        new Request(`http://localhost/internal/driver/${path}`, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            ...(token === undefined ? {} : { [headers.serviceToken]: token }),
          },
          body: JSON.stringify(body),
        }),
      );
      expect(response.ok).toBe(false);
      expect(await response.text()).toContain('auth.service_forbidden');
    }
  });
});
