import { afterEach, describe, expect, test } from 'bun:test';
import type { DriverId, TripId } from '@contracts/ids.ts';
import { createLog } from '@platform/log.ts';
import { connectRedis, waitForRedis } from '@platform/redis/connection.ts';
import { startPrivatePostgres, startPrivateRedis } from '@testing/private-servers.ts';
import { until } from '@testing/until.ts';
import { createRedisPositionIndex } from './positions/redis.ts';
import { createTestDriver, type TestDriver, testVehicle } from './testing/harness.ts';

// Longer than the timeout of one command, far below that of a request.
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
const sendPosition = (driver: TestDriver, driverId: DriverId) =>
  driver.send('PUT', '/v1/drivers/me/location', { as: asDriver(driverId), body: place });
const findCandidates = (driver: TestDriver) =>
  driver.send('POST', '/internal/driver/candidates', { body: query });

/** Sends every kind of request that needs the index and expects 503 with Retry-After. */
async function expectUnavailable(driver: TestDriver, driverId: DriverId) {
  const as = asDriver(driverId);
  const startedMs = performance.now();
  const answers = await Promise.all([
    sendPosition(driver, driverId),
    driver.send('POST', '/v1/drivers/me/locations', { as, body: { points: [place] } }),
    driver.send('GET', `/v1/drivers/nearby?lat=${place.lat}&lng=${place.lng}`, { as }),
    findCandidates(driver),
    driver.send('POST', '/internal/driver/positions', { body: { updates: [{ driverId, points: [place] }] } }),
  ]);
  for (const answer of answers) {
    expect(answer).toMatchObject({ status: 503, code: 'service.unavailable' });
    expect(answer.headers.get('retry-after')).toBe('1');
  }
  expect(performance.now() - startedMs).toBeLessThan(soonMs);
}

describe('while Redis is unavailable', () => {
  test('positions and searches answer 503 with Retry-After, status changes and holds still work', async () => {
    const { server, driver } = await withRedis();
    const driverId = await driver.createAvailableDriver();
    expect(await sendPosition(driver, driverId)).toMatchObject({ status: 204 });
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

  test('a frozen Redis delays no request, and positions are stored again once it resumes', async () => {
    const { server, driver } = await withRedis();
    const driverId = await driver.createAvailableDriver();
    await sendPosition(driver, driverId);
    await server.kill('SIGSTOP');
    await expectUnavailable(driver, driverId);
    await server.kill('SIGCONT');
    await until(async () => (await sendPosition(driver, driverId)).status === 204);
  });

  test('the newest positions are stored when too many wait, and the oldest are rejected at once', async () => {
    const { server, driver } = await withRedis({ POSITION_WAITING_MAX: '40', POSITION_WAIT_MS_MAX: '5000' });
    const drivers = await Promise.all(Array.from({ length: 61 }, () => driver.createAvailableDriver()));
    await Promise.all(drivers.slice(0, 40).map((driverId) => sendPosition(driver, driverId)));
    await Promise.all(drivers.slice(40).map((driverId) => sendPosition(driver, driverId)));
    const [first = driver.ids<DriverId>(), ...others] = drivers;
    await driver.clock.advance(1_000);
    await server.kill('SIGSTOP');
    // Already in flight, so it can't be rejected any more.
    const stuck = sendPosition(driver, first);
    await until(() => driver.metrics.text().includes('positions_waiting 1\n'));
    const answers = others.map((driverId) => sendPosition(driver, driverId));
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

  test('after a restart without data, the index is complete again after one position of each driver', async () => {
    const { server, redis, driver } = await withRedis();
    const drivers = await Promise.all(Array.from({ length: 5 }, () => driver.createAvailableDriver()));
    const busy = await driver.createAvailableDriver();
    await Promise.all([...drivers, busy].map((driverId) => sendPosition(driver, driverId)));
    await driver.database.primary`
      update drivers set status = 'on_trip', trip_id = ${driver.ids<TripId>()} where id = ${busy}`;
    await server.kill('SIGKILL');
    await server.restart();
    await until(() => redis.status === 'ready');
    expect(await redis.dbsize()).toBe(0);
    expect(await findCandidates(driver)).toMatchObject({ status: 200, json: { candidates: [] } });

    for (const driverId of [...drivers, busy])
      expect(await sendPosition(driver, driverId)).toMatchObject({ status: 204 });
    const found = (await findCandidates(driver)).json as { candidates: { driverId: DriverId }[] };
    expect(found.candidates.map(({ driverId }) => driverId).sort()).toEqual(drivers.toSorted());
  });
});

describe('while PostgreSQL is unavailable', () => {
  test('positions of known drivers are stored, everything else answers 503 with Retry-After', async () => {
    const postgres = await startPrivatePostgres();
    cleanups.push(() => postgres.stop());
    const driver = await createTestDriver({ databaseUrl: postgres.primary.url });
    cleanups.push(() => driver.close());
    const [known, unknown] = [await driver.createAvailableDriver(), driver.ids<DriverId>()];
    await sendPosition(driver, known);
    await postgres.primary.stop();

    expect(await sendPosition(driver, known)).toMatchObject({ status: 204 });
    const startedMs = performance.now();
    const answers = await Promise.all([
      sendPosition(driver, unknown),
      findCandidates(driver),
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
