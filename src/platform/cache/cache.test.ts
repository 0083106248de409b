import { afterAll, describe, expect, test } from 'bun:test';
import { Type } from '@sinclair/typebox';
import { testRedisNamespace } from '@testing/redis.ts';
import { createManualClock, systemClock } from '../clock.ts';
import { createLog } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import { connectRedis, waitForRedis } from '../redis/connection.ts';
import { cacheContract } from './cache.contract.ts';
import { type Cache, createReadThrough } from './cache.ts';
import { createMemoryCache } from './memory.ts';
import { createRedisCache } from './redis.ts';

const log = createLog('silent');
const unreachableUrl = 'redis://127.0.0.1:1';

describe('the cache in memory', () => {
  cacheContract(async () => createMemoryCache({ clock: systemClock, entriesMax: 100 }));

  test('evicts the least recently used entry', async () => {
    const cache = createMemoryCache({ clock: createManualClock(0), entriesMax: 2 });
    await cache.set('old', '1', 1_000);
    await cache.set('older', '2', 1_000);
    await cache.get('old');
    await cache.set('new', '3', 1_000);
    expect(await Promise.all(['old', 'older', 'new'].map((key) => cache.get(key)))).toEqual([
      '1',
      undefined,
      '3',
    ]);
  });
});

describe('the cache in Redis', () => {
  const { cacheUrl } = testRedisNamespace();
  const redis = connectRedis(cacheUrl, 'cache', log);
  afterAll(() => redis.disconnect());

  cacheContract(async () => {
    await waitForRedis(redis, 5_000);
    const { prefix } = testRedisNamespace();
    return createRedisCache({ redis, clock: systemClock, log, metrics: createMetrics(), prefix });
  });

  test('returns misses instead of errors while Redis is unavailable', async () => {
    const away = connectRedis(unreachableUrl, 'cache', log);
    const metrics = createMetrics();
    const cache = createRedisCache({ redis: away, clock: systemClock, log, metrics });
    await cache.set('key', 'value', 1_000);
    expect(await cache.get('key')).toBeUndefined();
    await cache.delete('key');
    await expect(cache.ping()).rejects.toThrow();
    expect(metrics.text()).toContain('cache_failures_total');
    away.disconnect();
  });

  test('costs only the first caller the timeout while Redis hangs', async () => {
    const clock = createManualClock(0);
    let commands = 0;
    const hung = {
      get: () => {
        commands++;
        return new Promise<never>(() => undefined);
      },
      set: () => Promise.reject(new Error('not asked')),
      del: () => Promise.reject(new Error('not asked')),
      ping: () => Promise.reject(new Error('not asked')),
    };
    const cache = createRedisCache({ redis: hung, clock, log, metrics: createMetrics() });
    const first = cache.get('key');
    await clock.advance(100);
    expect(await first).toBeUndefined();
    expect(await cache.get('key')).toBeUndefined();
    expect(commands).toBe(1);
  });
});

describe('reading through', () => {
  const schema = Type.Object({ fare: Type.Integer() });

  function open(cache: Cache = createMemoryCache({ clock: createManualClock(0), entriesMax: 10 })) {
    const metrics = createMetrics();
    return { cache, metrics, quotes: createReadThrough({ cache, metrics, name: 'quotes', schema }) };
  }

  test('loads once and then reads from the cache', async () => {
    const { quotes, metrics } = open();
    let loads = 0;
    const load = async () => ({ fare: ++loads });
    expect([await quotes.get('a', 1_000, load), await quotes.get('a', 1_000, load)]).toEqual([
      { fare: 1 },
      { fare: 1 },
    ]);
    expect(metrics.text()).toContain('cache_reads_total{cache="quotes",result="hit"} 1');
  });

  test('loads a key once for all concurrent callers', async () => {
    const { quotes } = open();
    let loads = 0;
    const load = async () => ({ fare: ++loads });
    await Promise.all([1, 2, 3].map(() => quotes.get('a', 1_000, load)));
    expect(loads).toBe(1);
  });

  test('caches neither undefined nor a failure', async () => {
    const { quotes } = open();
    expect(await quotes.get('a', 1_000, async () => undefined)).toBeUndefined();
    await expect(quotes.get('a', 1_000, () => Promise.reject(new Error('away')))).rejects.toThrow('away');
    expect(await quotes.get('a', 1_000, async () => ({ fare: 3 }))).toEqual({ fare: 3 });
  });

  test('treats an entry that does not match the schema as a miss', async () => {
    const { cache, quotes } = open();
    for (const leftover of ['{"fare":"71000"}', 'not json']) {
      await cache.set('quotes:a', leftover, 1_000);
      expect(await quotes.get('a', 1_000, async () => ({ fare: 7 }))).toEqual({ fare: 7 });
    }
  });
});
