import { afterEach, describe, expect, test } from 'bun:test';
import type { DriverId, TripId } from '@contracts/ids.ts';
import { createLog } from '@platform/log.ts';
import { connectRedis, waitForRedis } from '@platform/redis/connection.ts';
import { startPrivatePostgres, startPrivateRedis } from '@testing/private-servers.ts';
import { until } from '@testing/until.ts';
import { createRedisPositionIndex } from './positions/redis.ts';
import { createTestDriver, type TestDriver, testVehicle } from './testing/harness.ts';

// Longer than the time limit of one command, far below that of a request.
const soonMs = 10_000;
const place = { lat: 10.7721, lng: 106.6983 };
const query = { pickup: place, product: 'car', limit: 5, excluding: [] };

let cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
  cleanups = [];
});

async function withRedis(settings: Record<string, string> = {}) {
  const server = await startPrivateRedis('geo');
  cleanups.push(() => server.stop());
  const redis = connectRedis(server.url, 'geo', createLog('silent'));
  cleanups.push(() => redis.disconnect());
  await waitForRedis(redis, 5_000);
  const driver = await createTestDriver({
    index: (options) => createRedisPositionIndex({ ...options, redis, prefix: 'test:', shards: 2 }),
    settings,
  });
  cleanups.push(() => driver.close());
  return { server, redis, driver };
}

const asDriver = (driverId: DriverId) => [driverId, 'driver'] as const;
const locate = (driver: TestDriver, driverId: DriverId) =>
  driver.send('PUT', '/v1/drivers/me/location', { as: asDriver(driverId), body: place });
const candidates = (driver: TestDriver) =>
  driver.send('POST', '/internal/driver/candidates', { body: query });

/** Everything that needs the index, as it answers while that is away. */
async function expectUnavailable(driver: TestDriver, driverId: DriverId) {
  const as = asDriver(driverId);
  const startedMs = performance.now();
  const answers = await Promise.all([
    locate(driver, driverId),
    driver.send('POST', '/v1/drivers/me/locations', { as, body: { points: [place] } }),
    driver.send('GET', `/v1/drivers/nearby?lat=${place.lat}&lng=${place.lng}`, { as }),
    candidates(driver),
    driver.send('POST', '/internal/driver/positions', { body: { updates: [{ driverId, points: [place] }] } }),
  ]);
  for (const answer of answers) {
    expect(answer).toMatchObject({ status: 503, code: 'service.unavailable' });
    expect(answer.headers.get('retry-after')).toBe('1');
  }
  expect(performance.now() - startedMs).toBeLessThan(soonMs);
}

describe('Redis is away', () => {
  test('positions and searches are told to come again soon; status changes and holds go on', async () => {
    const { server, driver } = await withRedis();
    const driverId = await driver.createAvailableDriver();
    expect(await locate(driver, driverId)).toMatchObject({ status: 204 });
    await server.stop();
    await expectUnavailable(driver, driverId);
    const as = asDriver(driverId);
    for (const status of ['offline', 'available'])
      expect(await driver.send('PUT', '/v1/drivers/me/status', { as, body: { status } })).toMatchObject({
        status: 200,
        json: { status },
      });
    const terms = { driverId, tripId: driver.ids<TripId>(), version: 1, product: 'car', ttlMs: 15_000 };
    const held = await driver.send('POST', '/internal/driver/holds', { body: terms });
    expect(held).toMatchObject({ status: 200, json: { held: true, vehicle: testVehicle } });
    await expect(driver.context.readinessChecks.positions?.()).rejects.toThrow();
  });

  test('frozen, it holds nobody up', async () => {
    const { server, driver } = await withRedis();
    const driverId = await driver.createAvailableDriver();
    await locate(driver, driverId);
    await server.kill('SIGSTOP');
    await expectUnavailable(driver, driverId);
    await server.kill('SIGCONT');
    await until(async () => (await locate(driver, driverId)).status === 204);
  });

  test('slow, it gets the newest positions when too many wait; the oldest are refused at once', async () => {
    const { server, driver } = await withRedis({ POSITION_WAITING_MAX: '40', POSITION_WAIT_MS_MAX: '5000' });
    const drivers = await Promise.all(Array.from({ length: 61 }, () => driver.createAvailableDriver()));
    await Promise.all(drivers.slice(0, 40).map((driverId) => locate(driver, driverId)));
    await Promise.all(drivers.slice(40).map((driverId) => locate(driver, driverId)));
    const [first = driver.ids<DriverId>(), ...others] = drivers;
    await driver.clock.advance(1_000);
    await server.kill('SIGSTOP');
    // Under way, so that it can't be taken back.
    const stuck = locate(driver, first);
    await until(() => driver.metrics.text().includes('positions_waiting 1\n'));
    const answers = others.map((driverId) => locate(driver, driverId));
    const refused = await Promise.all(answers.slice(0, 21));
    for (const answer of refused) {
      expect(answer).toMatchObject({ status: 503, code: 'service.unavailable' });
      expect(answer.headers.get('retry-after')).toBe('1');
    }
    await server.kill('SIGCONT');
    const taken = await Promise.all([stuck, ...answers.slice(21)]);
    expect(taken.map(({ status }) => status)).toEqual(Array.from({ length: 40 }, () => 204));
    expect(driver.metrics.text()).toContain('positions_shed_total 21\n');
  });

  test('back but empty, it is whole again after one position of each driver', async () => {
    const { server, redis, driver } = await withRedis();
    const drivers = await Promise.all(Array.from({ length: 5 }, () => driver.createAvailableDriver()));
    const busy = await driver.createAvailableDriver();
    await Promise.all([...drivers, busy].map((driverId) => locate(driver, driverId)));
    await driver.database.primary`
      update drivers set status = 'on_trip', trip_id = ${driver.ids<TripId>()} where id = ${busy}`;
    await server.kill('SIGKILL');
    await server.restart();
    await until(() => redis.status === 'ready');
    expect(await redis.dbsize()).toBe(0);
    expect(await candidates(driver)).toMatchObject({ status: 200, json: { candidates: [] } });

    for (const driverId of [...drivers, busy])
      expect(await locate(driver, driverId)).toMatchObject({ status: 204 });
    const found = (await candidates(driver)).json as { candidates: { driverId: DriverId }[] };
    expect(found.candidates.map(({ driverId }) => driverId).sort()).toEqual(drivers.toSorted());
  });
});

describe('PostgreSQL is away', () => {
  test('known drivers keep sending positions, everything else is told to come again', async () => {
    const postgres = await startPrivatePostgres();
    cleanups.push(() => postgres.stop());
    const driver = await createTestDriver({ databaseUrl: postgres.primary.url });
    cleanups.push(() => driver.close());
    const [known, unknown] = [await driver.createAvailableDriver(), driver.ids<DriverId>()];
    await locate(driver, known);
    await postgres.primary.stop();

    expect(await locate(driver, known)).toMatchObject({ status: 204 });
    const startedMs = performance.now();
    const answers = await Promise.all([
      locate(driver, unknown),
      candidates(driver),
      driver.send('GET', '/v1/drivers/me', { as: asDriver(known) }),
      driver.send('PUT', '/v1/drivers/me/vehicle', { as: asDriver(known), body: testVehicle }),
    ]);
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: 503, code: 'service.unavailable' });
      expect(answer.headers.get('retry-after')).toBe('1');
    }
    expect(performance.now() - startedMs).toBeLessThan(soonMs);
    await expect(driver.context.readinessChecks.postgres?.()).rejects.toThrow();
  }, 20_000);
});
