import { afterAll, describe, expect, test } from 'bun:test';
import type { PersonId } from '@contracts/ids.ts';
import { createManualClock, systemClock } from '@platform/clock.ts';
import { createIds } from '@platform/ids.ts';
import { createLog } from '@platform/log.ts';
import { systemRandom } from '@platform/random.ts';
import { connectRedis, type Redis, waitForRedis } from '@platform/redis/connection.ts';
import { testRedisNamespace } from '@testing/redis.ts';
import { until } from '@testing/until.ts';
import { createTcpProxy } from '../../../src/tools/faults/tcp-proxy.ts';
import type { PersonInbox } from '../inbox/inbox.ts';
import { createMemoryInbox } from '../inbox/memory.ts';
import { createRedisInbox } from '../inbox/redis.ts';
import { createNotificationKeys } from '../keys.ts';
import { appendAndPublish, eventNumberOf, fanoutContract, idleListener } from './fanout.contract.ts';
import type { Delivery } from './fanout.ts';
import { createMemoryFanout, createMemoryFanoutHub, type MemoryFanoutHub } from './memory.ts';
import { createRedisFanout } from './redis.ts';

const startMs = 1_763_800_000_000;
const bounds = { lengthMax: 100, entriesTtlMs: 60_000 };

interface MemoryDeployment {
  hub: MemoryFanoutHub;
  inbox: PersonInbox;
}
const deployments = new Map<string, MemoryDeployment>();
function deploy(): MemoryDeployment {
  const hub = createMemoryFanoutHub();
  return { hub, inbox: createMemoryInbox({ clock: createManualClock(startMs), hub, ...bounds }) };
}

fanoutContract('in memory', {
  create(name) {
    const { hub, inbox } = deployments.get(name) ?? deploy();
    deployments.set(name, { hub, inbox });
    return { fanout: createMemoryFanout(hub), inbox };
  },
});

const { geoUrl, prefix } = testRedisNamespace();
const log = createLog('silent');
const redis = connectRedis(geoUrl, 'geo', log);
await waitForRedis(redis, 5_000);
afterAll(() => redis.disconnect());
const newId = createIds(systemClock, systemRandom);

function createOn(over: Redis, deployment: string, clock = createManualClock(startMs)) {
  const keys = createNotificationKeys(`${prefix}${deployment}:`);
  const instanceId = newId<string>();
  return {
    fanout: createRedisFanout({ redis: over, keys, clock, log, instanceId, presenceTtlMs: 30_000 }),
    inbox: createRedisInbox({ redis: over, keys, ...bounds }),
  };
}
fanoutContract('over Redis', { create: (deployment) => createOn(redis, deployment) });

const person = newId<PersonId>();

describe('fan-out over Redis', () => {
  test('an instance that does not renew its presence receives no more deliveries until it does', async () => {
    const clock = createManualClock(startMs);
    const create = () => createOn(redis, 'silent', clock);
    const [publisher, silent, alive] = [create(), create(), create()];
    const received: string[] = [];
    for (const [name, { fanout }] of Object.entries({ publisher, silent, alive }))
      await fanout.start({
        ...idleListener,
        onDelivery: (delivery) => void received.push(`${name} ${eventNumberOf(delivery)}`),
      });
    await silent.fanout.addPresence(person);
    await alive.fanout.addPresence(person);
    await clock.advance(20_000);
    await alive.fanout.renewPresence([person]);
    await clock.advance(10_001);
    await appendAndPublish(publisher, person, 5, clock.nowMs());
    await until(() => received.includes('alive 5'));
    expect(received).toEqual(['publisher 5', 'alive 5']);
    await Promise.all([publisher, silent, alive].map(({ fanout }) => fanout.stop()));
  });

  async function behindProxy(deployment: string) {
    const proxy = await createTcpProxy(geoUrl);
    const over = connectRedis(proxy.rewriteUrl(geoUrl), 'geo', log);
    await waitForRedis(over, 5_000);
    const { fanout: receiver } = createOn(over, deployment);
    const publisher = createOn(redis, deployment);
    const received: number[] = [];
    const state: { missed: number; topics: string[] } = { missed: 0, topics: [] };
    await publisher.fanout.start(idleListener);
    await receiver.start({
      ...idleListener,
      onDelivery: (delivery) => void received.push(eventNumberOf(delivery)),
      onBroadcast: (topic, text) => void state.topics.push(`${topic} ${text}`),
      onMissed: () => void state.missed++,
    });
    await receiver.addPresence(person);
    return {
      proxy,
      receiver,
      publisher,
      received,
      state,
      async stop() {
        await Promise.all([receiver.stop(), publisher.fanout.stop()]);
        over.disconnect();
        await proxy.close();
      },
    };
  }

  test('after a lost connection it subscribes again and reports that deliveries may have been missed', async () => {
    const { proxy, publisher, received, state, stop } = await behindProxy('cut');
    await appendAndPublish(publisher, person, 1, startMs);
    await until(() => received.includes(1));
    proxy.refuseConnections();
    await appendAndPublish(publisher, person, 2, startMs);
    expect(state.missed).toBe(0);
    proxy.resume();
    await until(() => state.missed === 1);
    await appendAndPublish(publisher, person, 3, startMs);
    await until(() => received.includes(3));
    expect(received).toEqual([1, 3]);
    await stop();
  });

  test('after a lost connection it subscribes to its topics again', async () => {
    const { proxy, publisher, receiver, state, stop } = await behindProxy('topics');
    await receiver.subscribe('trips');
    proxy.refuseConnections();
    proxy.resume();
    await until(() => state.missed === 1);
    await publisher.fanout.broadcast('trips', '{"n":2}');
    await until(() => state.topics.length === 1);
    expect(state.topics).toEqual(['trips {"n":2}']);
    await stop();
  });

  test('a subscription that died silently is detected by a check and replaced', async () => {
    const proxy = await createTcpProxy(geoUrl);
    const over = connectRedis(geoUrl, 'geo', log);
    await waitForRedis(over, 5_000);
    // Only its subscription goes through the proxy.
    const duplicate = over.duplicate.bind(over);
    over.duplicate = (options) => duplicate({ ...options, host: '127.0.0.1', port: proxy.port });
    const { fanout: receiver } = createOn(over, 'half-open');
    const publisher = createOn(redis, 'half-open');
    const received: number[] = [];
    let missed = 0;
    await receiver.start({
      ...idleListener,
      onDelivery: (delivery) => void received.push(eventNumberOf(delivery)),
      onMissed: () => void missed++,
    });
    await receiver.addPresence(person);
    for (let n = 1; n <= 3; n++) {
      await receiver.checkSubscription();
      await appendAndPublish(publisher, person, n, startMs);
      await until(() => received.includes(n));
    }
    expect(missed).toBe(0);
    proxy.pause();
    await appendAndPublish(publisher, person, 4, startMs);
    await receiver.checkSubscription();
    expect(missed).toBe(0);
    await receiver.checkSubscription();
    proxy.resume();
    await until(() => missed === 1, { timeoutMs: 10_000 });
    await appendAndPublish(publisher, person, 5, startMs);
    await until(() => received.includes(5));
    await receiver.checkSubscription();
    await appendAndPublish(publisher, person, 6, startMs);
    await until(() => received.includes(6));
    await receiver.checkSubscription();
    expect(missed).toBe(1);
    await receiver.stop();
    over.disconnect();
    await proxy.close();
  }, 20_000);

  test('it does not start while Redis is unavailable and starts once Redis is back', async () => {
    const proxy = await createTcpProxy(geoUrl);
    const over = connectRedis(proxy.rewriteUrl(geoUrl), 'geo', log);
    await waitForRedis(over, 5_000);
    proxy.refuseConnections();
    const { fanout: receiver } = createOn(over, 'late');
    const received: number[] = [];
    const listener = {
      ...idleListener,
      onDelivery: (delivery: Delivery) => void received.push(eventNumberOf(delivery)),
    };
    await expect(receiver.start(listener)).rejects.toThrow();
    proxy.resume();
    await waitForRedis(over, 5_000);
    await receiver.start(listener);
    await receiver.addPresence(person);
    const publisher = createOn(redis, 'late');
    await appendAndPublish(publisher, person, 1, startMs);
    await until(() => received.includes(1));
    await receiver.stop();
    over.disconnect();
    await proxy.close();
  });
});
