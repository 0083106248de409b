import { afterAll, describe, expect, test } from 'bun:test';
import { productTable } from '@contracts/drivers.ts';
import type { DriverId } from '@contracts/ids.ts';
import { createManualClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { connectRedis, waitForRedis } from '@platform/redis/connection.ts';
import { testRedisNamespace } from '@testing/redis.ts';
import { positionIndexContract } from './index.contract.ts';
import { shardKeys } from './keys.ts';
import { createRedisPositionIndex } from './redis.ts';

const { geoUrl } = testRedisNamespace();
const redis = connectRedis(geoUrl, 'geo', createLog('silent'));
afterAll(() => redis.disconnect());

positionIndexContract('in Redis', async (options) => {
  await waitForRedis(redis, 5_000);
  return createRedisPositionIndex({ ...options, redis, prefix: testRedisNamespace().prefix, shards: 1 });
});

positionIndexContract('in Redis, in three shards', async (options) => {
  await waitForRedis(redis, 5_000);
  return createRedisPositionIndex({ ...options, redis, prefix: testRedisNamespace().prefix, shards: 3 });
});

describe('position index in Redis', () => {
  const driverId = '019aa000-0000-7000-8000-0000000000aa' as DriverId;
  const clock = createManualClock(Date.parse('2026-11-22T08:00:00Z'));

  async function indexOf(prefix: string) {
    await waitForRedis(redis, 5_000);
    const rules = { freshnessMs: 30_000, speedMetresPerSecondMax: 70, sweepEveryMs: 0 };
    return createRedisPositionIndex({ redis, prefix, shards: 1, clock, ...rules });
  }

  test('has one hash tag in all keys of a shard, so that they are in one cluster slot', () => {
    const { geo, driversAndGeo, ...keys } = shardKeys('city:', 7, productTable);
    for (const key of [...Object.values(keys), ...Object.values(geo), ...driversAndGeo])
      expect(key).toMatch(/^city:driver:\{p7\}:/);
  });

  test('sets an expiry on every key', async () => {
    const { prefix } = testRedisNamespace();
    const index = await indexOf(prefix);
    await index.setAvailabilities([{ driverId, version: 1, availability: 'available', product: 'car' }]);
    await index.record([{ driverId, point: { lat: 10.77, lng: 106.7 }, recordedAtMs: clock.nowMs() }]);
    await index.sweep();
    const keys = await redis.keys(`${prefix}*`);
    expect(keys.length).toBe(3);
    for (const key of keys) expect(await redis.pttl(key)).toBeGreaterThan(0);
  });

  test('still works after the server lost its scripts', async () => {
    const index = await indexOf(testRedisNamespace().prefix);
    const standing = { driverId, version: 1, availability: 'available', product: 'car' } as const;
    const fix = { driverId, point: { lat: 10.77, lng: 106.7 }, recordedAtMs: clock.nowMs() };
    await index.setAvailabilities([standing]);
    await redis.script('FLUSH');
    expect(await index.record([fix])).toMatchObject([{ kind: 'stored' }]);
  });
});
