import { afterAll, beforeAll, expect, test } from 'bun:test';
import { offsetPoint } from '@contracts/geo.ts';
import type { DriverId } from '@contracts/ids.ts';
import { createManualClock, systemClock } from '@platform/clock.ts';
import { createIds } from '@platform/ids.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { isOutage } from '@platform/outage.ts';
import { createSeededRandom } from '@platform/random.ts';
import { type Cluster, connectRedisCluster, waitForRedis } from '@platform/redis/connection.ts';
import { type RedisCluster, startRedisCluster } from '@testing/redis-cluster.ts';
import { until } from '@testing/until.ts';
import { positionIndexContract } from './index.contract.ts';
import type { PositionIndex, PositionIndexDeps } from './index.ts';
import { createIngest } from './ingest.ts';
import { createRedisPositionIndex } from './redis.ts';

const shards = 8;
const newId = createIds(createManualClock(0), createSeededRandom(5));
const town = { lat: 10.7721, lng: 106.6983 };
let servers: RedisCluster;
let redis: Cluster;
let indexes = 0;

beforeAll(async () => {
  servers = await startRedisCluster();
  redis = connectRedisCluster(servers.urls, 'geo', createLog('silent'));
  await waitForRedis(redis, 5_000);
}, 60_000);
afterAll(async () => {
  redis.disconnect();
  await servers.stop();
}, 30_000);

const createIndex = (options: PositionIndexDeps) =>
  createRedisPositionIndex({ ...options, redis, prefix: `cluster${++indexes}:`, shards });

positionIndexContract('in a Redis Cluster of six processes', createIndex);

const rules = { freshnessMs: 60_000, speedMetresPerSecondMax: 70, sweepEveryMs: 60_000 };
const createTestIngest = (index: PositionIndex) =>
  createIngest({
    index,
    loadAvailabilities: async (driverIds) =>
      driverIds.map((driverId) => ({ driverId, version: 1, availability: 'available', product: 'car' })),
    clock: systemClock,
    log: createLog('silent'),
    metrics: createMetrics(),
    windowMs: 0,
    batchMax: 500,
    waitingMax: 20_000,
    waitMsMax: 1_000,
  });
const createDrivers = (count: number) =>
  Array.from({ length: count }, (_, n) => ({
    driverId: newId<DriverId>(),
    point: offsetPoint(town, n * 3, 0),
  }));

test('a failover to a replica fails positions for a short time, and only with errors that count as an outage', async () => {
  const index = createIndex({ clock: systemClock, ...rules });
  const ingest = createTestIngest(index);
  const drivers = createDrivers(200);
  const replica = servers.replicas[1]?.redis;
  const allStored = async () => {
    const settled = await Promise.allSettled(
      drivers.map((driver) => ingest.submit({ ...driver, recordedAtMs: systemClock.nowMs() })),
    );
    const failed = settled.filter((outcome) => outcome.status === 'rejected');
    for (const { reason } of failed)
      expect([String(reason), isOutage(reason)]).toEqual([String(reason), true]);
    return failed.length === 0;
  };
  expect(await allStored()).toBe(true);
  await replica?.call('cluster', 'FAILOVER');
  await until(
    async () => (await allStored()) && String(await replica?.info('replication')).includes('role:master'),
    { describe: 'the replica to be promoted', timeoutMs: 10_000 },
  );
  expect(await allStored()).toBe(true);
  await index.ping();
}, 40_000);

test('drivers spread over all primaries, and after one is killed its replica and the next positions restore the index', async () => {
  const index = createIndex({ clock: systemClock, ...rules });
  const ingest = createTestIngest(index);
  const drivers = createDrivers(400);
  const send = () =>
    Promise.allSettled(
      drivers.map((driver) => ingest.submit({ ...driver, recordedAtMs: systemClock.nowMs() })),
    );
  const nearest = () => index.nearest({ point: town, limit: 50, radiusMetresMax: 5_000, excluding: [] });
  const isWhole = async () => {
    const found = await nearest();
    return found.every(({ driverId }, place) => driverId === drivers[place]?.driverId) && found.length === 50;
  };
  const busy = drivers[399] ?? { driverId: newId<DriverId>(), point: town };

  expect((await send()).every(({ status }) => status === 'fulfilled')).toBe(true);
  expect(await isWhole()).toBe(true);
  await index.setAvailabilities([
    { driverId: busy.driverId, version: 2, availability: 'busy', product: 'car' },
  ]);
  for (const primary of servers.primaries) expect(await primary.redis.dbsize()).toBeGreaterThan(0);

  await servers.primaries[0]?.server.kill('SIGKILL');
  // Drivers of other shards are served all the time; drivers of the lost shard are rejected quickly.
  const startedMs = performance.now();
  const during = await send();
  expect(performance.now() - startedMs).toBeLessThan(10_000);
  expect(during.some(({ status }) => status === 'fulfilled')).toBe(true);

  await until(async () => (await send()).every(({ status }) => status === 'fulfilled'), {
    describe: 'the replica to be promoted',
    timeoutMs: 20_000,
  });
  expect(await isWhole()).toBe(true);
  const recordedAtMs = systemClock.nowMs();
  expect(await index.record([{ ...busy, recordedAtMs }])).toMatchObject([{ kind: 'stored', busy: true }]);
}, 60_000);
