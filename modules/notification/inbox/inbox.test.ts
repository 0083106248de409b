import { afterAll } from 'bun:test';
import { createManualClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { connectRedis, waitForRedis } from '@platform/redis/connection.ts';
import { testRedisNamespace } from '@testing/redis.ts';
import { createMemoryFanoutHub } from '../fanout/memory.ts';
import { createNotificationKeys } from '../keys.ts';
import { inboxContract } from './inbox.contract.ts';
import { createMemoryInbox } from './memory.ts';
import { createRedisInbox } from './redis.ts';

const clock = createManualClock(1_763_800_000_000);

// Losing an in-memory store means creating a new one.
inboxContract('in memory', {
  create: async (bounds) => createMemoryInbox({ ...bounds, clock, hub: createMemoryFanoutHub() }),
  advanceTime: (ms) => clock.advance(ms),
  loseStore: async () => {},
});

const { geoUrl, prefix } = testRedisNamespace();
const redis = connectRedis(geoUrl, 'geo', createLog('silent'));
await waitForRedis(redis, 5_000);
let stores = 0;

inboxContract('in Redis', {
  create: async (bounds, name = `store-${++stores}`) =>
    createRedisInbox({ redis, keys: createNotificationKeys(`${prefix}${name}:`), ...bounds }),
  // Redis expires keys by its own clock, so the test waits for it.
  advanceTime: async () => {},
  async loseStore(name) {
    for (const key of await redis.keys(`${prefix}${name}:*`)) await redis.del(key);
  },
});

afterAll(async () => {
  const left = await redis.keys(`${prefix}*`);
  for (const key of left) await redis.del(key);
  redis.disconnect();
});
