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
    test('a burst up to the quota is allowed, the next one is told how long to wait', async () => {
      const limits = await make();
      const key = newKey();
      for (let left = 4; left >= 0; left--) {
        expect(await limits.take(key)).toMatchObject({ isAllowed: true, remaining: left });
      }
      const refused = await limits.take(key);
      expect(refused.isAllowed).toBe(false);
      expect(refused.waitMs).toBeCloseTo(200, 0);
    });

    test('what was used comes back evenly', async () => {
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

    test('in any window no more than twice the quota passes, whatever the pace', async () => {
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

describe('leases', () => {
  const wide = { quota: 100, windowMs: 10_000 };
  const size = leaseSizeOf(wide);
  const make = () => createRedisLimits(redis, prefix, clock, log)('wide', wide);
  const passed = async (limits: RateLimiter, key: string, times: number) => {
    let allowed = 0;
    for (let n = 0; n < times; n++) if ((await limits.take(key)).isAllowed) allowed++;
    return allowed;
  };

  test('a quota is used up to the last by one edge, and each answer tells what is left', async () => {
    await waitForRedis(redis, 3_000);
    const [limits, key] = [make(), newKey()];
    for (let left = wide.quota - 1; left >= 0; left--)
      expect(await limits.take(key)).toMatchObject({ isAllowed: true, remaining: left });
    const refused = await limits.take(key);
    expect(refused).toMatchObject({ isAllowed: false, remaining: 0 });
    expect(refused.waitMs).toBeCloseTo(100, 0);
  });

  test('what is leased is given out without asking', async () => {
    await waitForRedis(redis, 3_000);
    const [limits, key] = [make(), newKey()];
    await limits.take(key);
    for (let n = 1; n < size; n++) expect(limits.take(key)).not.toBeInstanceOf(Promise);
    expect(limits.take(key)).toBeInstanceOf(Promise);
  });

  test('many at the same time take one lease after the other, and no more than the quota', async () => {
    await waitForRedis(redis, 3_000);
    const [limits, key] = [make(), newKey()];
    const taken = await Promise.all(Array.from({ length: 150 }, () => limits.take(key)));
    expect(taken.filter(({ isAllowed }) => isAllowed)).toHaveLength(wide.quota);
  });

  test('edges never give out more than the quota together', async () => {
    await waitForRedis(redis, 3_000);
    const [a, b, key] = [make(), make(), newKey()];
    let allowed = 0;
    for (let n = 0; n < 150; n++) allowed += await passed(n % 3 === 0 ? a : b, key, 1);
    expect(allowed).toBe(wide.quota);
  });

  test('someone who goes from edge to edge at the pace of the quota is never refused', async () => {
    await waitForRedis(redis, 3_000);
    const [edges, key] = [[make(), make(), make()], newKey()];
    for (let n = 0; n < 500; n++) {
      await clock.advance(wide.windowMs / wide.quota);
      for (const edge of edges.slice(n % 3, (n % 3) + 1)) expect(await passed(edge, key, 1)).toBe(1);
    }
  });

  test('what an edge did not give out goes back when its lease ends', async () => {
    await waitForRedis(redis, 3_000);
    const [a, b, key] = [make(), make(), newKey()];
    await passed(a, key, 1);
    expect(await passed(b, key, wide.quota)).toBe(wide.quota - size);
    await clock.advance(wide.windowMs / 2);
    const half = await passed(b, key, wide.quota);
    expect(half).toBe(wide.quota / 2);
    await clock.advance(wide.windowMs / 2);
    // The time brought half a quota; the rest of a's lease comes on top.
    expect(await passed(a, key, wide.quota)).toBe(wide.quota / 2 + size - 1);
  });

  test('Redis is not asked about someone who is known to have nothing left', async () => {
    await waitForRedis(redis, 3_000);
    const [limits, key] = [make(), newKey()];
    await passed(limits, key, wide.quota + 1);
    expect(limits.take(key)).not.toBeInstanceOf(Promise);
    await clock.advance(wide.windowMs / wide.quota);
    expect(await passed(limits, key, 2)).toBe(1);
  });
});

test('without Redis the limit still holds on each edge', async () => {
  const nowhere = connectRedis('redis://127.0.0.1:1', 'cache', log);
  const limits = createRedisLimits(nowhere, prefix, clock, log)('test', policy);
  const key = newKey();
  const decisions = [];
  for (let n = 0; n < 6; n++) decisions.push((await limits.take(key)).isAllowed);
  expect(decisions).toEqual([true, true, true, true, true, false]);
  nowhere.disconnect();
});
