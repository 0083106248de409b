import { afterAll, describe, expect, test } from 'bun:test';
import { createManualClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { connectRedis, waitForRedis } from '@platform/redis/connection.ts';
import { testRedisNamespace } from '@testing/redis.ts';
import fc from 'fast-check';
import type { RateLimiter } from './limits.ts';
import { createMemoryLimits } from './memory.ts';
import { createRedisLimits, leaseSizeOf } from './redis.ts';

const log = createLog('silent');
const { prefix, cacheUrl } = testRedisNamespace();
const redis = connectRedis(cacheUrl, 'cache', log);
afterAll(() => redis.disconnect());

const clock = createManualClock(Date.parse('2026-11-22T08:00:00Z'));
const policy = { quota: 5, windowMs: 1_000 };
let keys = 0;
const newKey = () => `key-${++keys}`;

function limitsContract(name: string, make: () => Promise<RateLimiter>) {
  describe(`rate limits, ${name}`, () => {
    test('a burst up to the quota is allowed, and the next request gets the time to wait', async () => {
      const limits = await make();
      const key = newKey();
      for (let left = 4; left >= 0; left--) {
        expect(await limits.take(key)).toMatchObject({ isAllowed: true, remaining: left });
      }
      const rejected = await limits.take(key);
      expect(rejected.isAllowed).toBe(false);
      expect(rejected.waitMs).toBeCloseTo(200, 0);
    });

    test('used quota is refilled evenly', async () => {
      const limits = await make();
      const key = newKey();
      for (let n = 0; n < 5; n++) await limits.take(key);
      await clock.advance(200);
      expect((await limits.take(key)).isAllowed).toBe(true);
      expect((await limits.take(key)).isAllowed).toBe(false);
    });

    test('one key does not use up the quota of another', async () => {
      const limits = await make();
      const key = newKey();
      for (let n = 0; n < 6; n++) await limits.take(key);
      expect((await limits.take(newKey())).isAllowed).toBe(true);
    });

    test('in any window at most twice the quota passes, at any pace', async () => {
      const limits = await make();
      await fc.assert(
        fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 40 }), async (pauses) => {
          const key = newKey();
          const passedAtMs: number[] = [];
          for (const pauseMs of pauses) {
            await clock.advance(pauseMs);
            if ((await limits.take(key)).isAllowed) passedAtMs.push(clock.nowMs());
          }
          for (const start of passedAtMs) {
            const inWindow = passedAtMs.filter((at) => at >= start && at < start + policy.windowMs);
            expect(inWindow.length).toBeLessThanOrEqual(policy.quota * 2);
          }
        }),
        { numRuns: 25 },
      );
    });
  });
}

limitsContract('in memory', async () => createMemoryLimits(clock)('test', policy));
limitsContract('in Redis', async () => {
  await waitForRedis(redis, 3_000);
  return createRedisLimits(redis, prefix, clock, log)('test', policy);
});

test('two edges share one quota through Redis', async () => {
  await waitForRedis(redis, 3_000);
  const make = () => createRedisLimits(redis, prefix, clock, log)('test', policy);
  const [a, b] = [make(), make()];
  const key = newKey();
  for (let n = 0; n < 5; n++) await (n % 2 === 0 ? a : b).take(key);
  expect((await a.take(key)).isAllowed).toBe(false);
  expect((await b.take(key)).isAllowed).toBe(false);
});

describe('leased limits', () => {
  const wide = { quota: 100, windowMs: 10_000 };
  const size = leaseSizeOf(wide);
  const make = () => createRedisLimits(redis, prefix, clock, log)('wide', wide);
  const countAllowed = async (limits: RateLimiter, key: string, times: number) => {
    let allowed = 0;
    for (let n = 0; n < times; n++) if ((await limits.take(key)).isAllowed) allowed++;
    return allowed;
  };

  test('let one edge use the whole quota, and each decision has the remaining requests', async () => {
    await waitForRedis(redis, 3_000);
    const [limits, key] = [make(), newKey()];
    for (let left = wide.quota - 1; left >= 0; left--)
      expect(await limits.take(key)).toMatchObject({ isAllowed: true, remaining: left });
    const rejected = await limits.take(key);
    expect(rejected).toMatchObject({ isAllowed: false, remaining: 0 });
    expect(rejected.waitMs).toBeCloseTo(100, 0);
  });

  test('spend a lease without asking Redis', async () => {
    await waitForRedis(redis, 3_000);
    const [limits, key] = [make(), newKey()];
    await limits.take(key);
    for (let n = 1; n < size; n++) expect(limits.take(key)).not.toBeInstanceOf(Promise);
    expect(limits.take(key)).toBeInstanceOf(Promise);
  });

  test('give concurrent requests one lease after the other, and no more than the quota', async () => {
    await waitForRedis(redis, 3_000);
    const [limits, key] = [make(), newKey()];
    const taken = await Promise.all(Array.from({ length: 150 }, () => limits.take(key)));
    expect(taken.filter(({ isAllowed }) => isAllowed)).toHaveLength(wide.quota);
  });

  test('never allow more than the quota over all edges', async () => {
    await waitForRedis(redis, 3_000);
    const [a, b, key] = [make(), make(), newKey()];
    let allowed = 0;
    for (let n = 0; n < 150; n++) allowed += await countAllowed(n % 3 === 0 ? a : b, key, 1);
    expect(allowed).toBe(wide.quota);
  });

  test('never reject a client that moves between edges at the rate of the quota', async () => {
    await waitForRedis(redis, 3_000);
    const [edges, key] = [[make(), make(), make()], newKey()];
    for (let n = 0; n < 500; n++) {
      await clock.advance(wide.windowMs / wide.quota);
      for (const edge of edges.slice(n % 3, (n % 3) + 1)) expect(await countAllowed(edge, key, 1)).toBe(1);
    }
  });

  test('return the unspent rest of a lease when it ends', async () => {
    await waitForRedis(redis, 3_000);
    const [a, b, key] = [make(), make(), newKey()];
    await countAllowed(a, key, 1);
    expect(await countAllowed(b, key, wide.quota)).toBe(wide.quota - size);
    await clock.advance(wide.windowMs / 2);
    const half = await countAllowed(b, key, wide.quota);
    expect(half).toBe(wide.quota / 2);
    await clock.advance(wide.windowMs / 2);
    // Half a quota was refilled over time; the unspent rest of the lease of `a` is added.
    expect(await countAllowed(a, key, wide.quota)).toBe(wide.quota / 2 + size - 1);
  });

  test('reject a client with no quota left without asking Redis', async () => {
    await waitForRedis(redis, 3_000);
    const [limits, key] = [make(), newKey()];
    await countAllowed(limits, key, wide.quota + 1);
    expect(limits.take(key)).not.toBeInstanceOf(Promise);
    await clock.advance(wide.windowMs / wide.quota);
    expect(await countAllowed(limits, key, 2)).toBe(1);
  });
});

test('without Redis each edge still enforces the limit', async () => {
  const unreachableRedis = connectRedis('redis://127.0.0.1:1', 'cache', log);
  const limits = createRedisLimits(unreachableRedis, prefix, clock, log)('test', policy);
  const key = newKey();
  const decisions = [];
  for (let n = 0; n < 6; n++) decisions.push((await limits.take(key)).isAllowed);
  expect(decisions).toEqual([true, true, true, true, true, false]);
  unreachableRedis.disconnect();
});
