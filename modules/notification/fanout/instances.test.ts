import { afterEach, describe, expect, test } from 'bun:test';
import { asDriverId, type PersonId } from '@contracts/ids.ts';
import { systemClock } from '@platform/clock.ts';
import { createIds } from '@platform/ids.ts';
import { createLog } from '@platform/log.ts';
import { systemRandom } from '@platform/random.ts';
import { connectRedis, waitForRedis } from '@platform/redis/connection.ts';
import { testRedisNamespace } from '@testing/redis.ts';
import { createTestTokens } from '@testing/tokens.ts';
import { until } from '@testing/until.ts';
import { createTcpProxy } from '../../../src/tools/faults/tcp-proxy.ts';
import { createPositionSender } from '../followers/position-sender.ts';
import { createRedisTripFollowers } from '../followers/redis.ts';
import { createRedisInbox } from '../inbox/redis.ts';
import { createNotificationKeys } from '../keys.ts';
import { newPerson, startTestInstance, type TestInstance, tripEventOf } from '../testing/harness.ts';
import { createRedisTickets } from '../tickets/redis.ts';
import { createRedisFanout } from './redis.ts';
import { createRedisTransientFrames } from './redis-transient-frames.ts';

const log = createLog('silent');
const clock = systemClock;
const newId = createIds(clock, systemRandom);
const tokens = createTestTokens(clock);
const ends: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** Instances of one deployment on a real Redis, each connected through its own proxy. */
function createDeployment(settings: Record<string, string> = {}) {
  const { geoUrl, prefix } = testRedisNamespace();
  const keys = createNotificationKeys(prefix);

  return {
    async instance() {
      const proxy = await createTcpProxy(geoUrl);
      const redis = connectRedis(proxy.rewriteUrl(geoUrl), 'geo', log);
      await waitForRedis(redis, 5_000);
      const tripFollowers = createRedisTripFollowers(redis, keys);
      const instance = await startTestInstance({
        clock,
        tripFollowers,
        tokens,
        inbox: createRedisInbox({ redis, keys, lengthMax: 500, entriesTtlMs: 60_000 }),
        tickets: createRedisTickets({ redis, keys, clock }),
        fanout: createRedisFanout({
          redis,
          keys,
          clock,
          log,
          instanceId: newId<string>(),
          presenceTtlMs: 30_000,
        }),
        settings: { INBOX_CHECK_SECONDS: '300', ...settings },
      });
      ends.push(
        () => proxy.close(),
        () => redis.disconnect(),
        () => instance.stop(),
      );
      const followers = createPositionSender({
        tripFollowers,
        transientFrames: createRedisTransientFrames(redis, keys, clock),
      });
      return { ...instance, proxy, redis, followers };
    },
    /** Deletes all keys of the deployment, like a Redis restart without persistence. */
    async lose() {
      const redis = connectRedis(geoUrl, 'geo', log);
      await waitForRedis(redis, 5_000);
      const storedKeys = await redis.keys(`${prefix}*`);
      if (storedKeys.length > 0) await redis.del(...storedKeys);
      redis.disconnect();
    },
  };
}

async function publishEvents({ bus }: TestInstance, rider: PersonId, count: number): Promise<string[]> {
  const events = Array.from({ length: count }, () => tripEventOf('trip.arrived.v1', { rider }));
  for (const event of events) await bus.publish([event]);
  return events.map(({ id }) => id);
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);

describe('with several instances over Redis', () => {
  test('an event that one instance handles reaches the sockets of another, in order', async () => {
    const { instance } = createDeployment();
    const [a, b] = [await instance(), await instance()];
    const rider = newPerson();
    const socket = await b.connect(rider);
    const before = await socket.waitForWelcome();
    const ids = await publishEvents(a, rider, 50);
    await until(() => socket.events().length === 50);
    expect(socket.seqs()).toEqual(range(before + 1, before + 50));
    expect(new Set(socket.events().map(({ id }) => String(id)))).toEqual(new Set(ids));
  });

  test('events that different instances handle concurrently have one gapless order for every socket', async () => {
    const { instance } = createDeployment();
    const [a, b] = [await instance(), await instance()];
    const rider = newPerson();
    const [atA, atB] = [await a.connect(rider), await b.connect(rider)];
    const before = await atA.waitForWelcome();
    await Promise.all([publishEvents(a, rider, 40), publishEvents(b, rider, 40)]);
    await until(() => atA.events().length === 80 && atB.events().length === 80);
    expect(atA.seqs()).toEqual(range(before + 1, before + 80));
    expect(atA.texts.slice(1)).toEqual(atB.texts.slice(1));
  });

  test('a ticket of one instance is accepted once at another', async () => {
    const { instance } = createDeployment();
    const [a, b] = [await instance(), await instance()];
    const ticket = await a.ticket(newPerson());
    const answers = await Promise.all(
      [a, b, a, b].map(({ url }) =>
        fetch(`${url}/v1/realtime?ticket=${ticket}`, {
          headers: {
            connection: 'Upgrade',
            upgrade: 'websocket',
            'sec-websocket-version': '13',
            'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
          },
        }).then(({ status }) => status),
      ),
    );
    expect(answers.filter((status) => status === 101)).toHaveLength(1);
    expect(answers.filter((status) => status === 401)).toHaveLength(3);
  });

  test('a client that moves from a stopping instance to another resumes without a loss', async () => {
    const { instance } = createDeployment();
    const [a, b] = [await instance(), await instance()];
    const rider = newPerson();
    const first = await a.connect(rider);
    const before = await first.waitForWelcome();
    await publishEvents(a, rider, 5);
    await until(() => first.events().length === 5);
    await a.drain();
    expect((await first.closed).code).toBe(1012);
    await publishEvents(b, rider, 5);
    const second = await b.connect(rider);
    second.send({ type: 'resume', after: before + 5 });
    await publishEvents(b, rider, 5);
    await until(() => second.events().length === 10);
    expect(second.seqs()).toEqual(range(before + 6, before + 15));
  });
});

describe('when a push is lost', () => {
  test('the next push delivers both events, in order', async () => {
    const { instance } = createDeployment();
    const [a, b] = [await instance(), await instance()];
    const rider = newPerson();
    const socket = await b.connect(rider);
    const before = await socket.waitForWelcome();
    await publishEvents(a, rider, 1);
    await until(() => socket.events().length === 1);
    // Appended to the inbox, but not published.
    await a.inbox.append(
      rider,
      { eventId: newId(), body: '"id":"lost","event":"x","data":{}}' },
      clock.nowMs(),
    );
    await publishEvents(a, rider, 1);
    await until(() => socket.events().length === 3);
    expect(socket.seqs()).toEqual(range(before + 1, before + 3));
  });

  test('and none follows, the periodic check delivers the event', async () => {
    const { instance } = createDeployment({ INBOX_CHECK_SECONDS: '1' });
    const [a, b] = [await instance(), await instance()];
    const rider = newPerson();
    const socket = await b.connect(rider);
    const before = await socket.waitForWelcome();
    await a.inbox.append(
      rider,
      { eventId: newId(), body: '"id":"lost","event":"x","data":{}}' },
      clock.nowMs(),
    );
    await until(() => socket.events().length === 1);
    expect(socket.seqs()).toEqual([before + 1]);
  });

  test('because an instance lost Redis, its sockets stay open and receive everything once it is back', async () => {
    const { instance } = createDeployment();
    const [a, b] = [await instance(), await instance()];
    const rider = newPerson();
    const socket = await b.connect(rider);
    const before = await socket.waitForWelcome();
    await publishEvents(a, rider, 3);
    await until(() => socket.events().length === 3);
    b.proxy.refuseConnections();
    await publishEvents(a, rider, 4);
    const [lastSeq] = await until(async () => {
      const seqs = await a.inbox.lastSeqs([rider], clock.nowMs());
      return seqs[0] === before + 7 ? seqs : undefined;
    });
    b.proxy.resume();
    await until(() => socket.events().length === 7);
    expect(socket.seqs()).toEqual(range(before + 1, lastSeq ?? 0));
  });
});

describe('the position of a driver', () => {
  test('reaches the rider of the active trip at any instance, and nobody else, until the trip ends', async () => {
    const { instance } = createDeployment();
    const [a, b] = [await instance(), await instance()];
    const [rider, otherPerson, driver] = [newPerson(), newPerson(), newPerson()];
    const sockets = [await a.connect(rider), await b.connect(rider)];
    const others = [await b.connect(otherPerson), await a.connect(driver, 'driver')];
    const move = (lat: number) => ({
      driverId: asDriverId(driver),
      point: { lat, lng: 106.7 },
      recordedAtMs: clock.nowMs(),
      headingDegrees: 90 * lat,
      speedMetresPerSecond: undefined,
    });
    const assigned = tripEventOf('trip.assigned.v1', { rider, driver });
    const { tripId } = assigned.data;
    Object.assign(assigned.data, { status: 'assigned', version: 3 });
    const completed = tripEventOf('trip.completed.v1', { rider, driver });
    Object.assign(completed.data, { tripId, status: 'completed', version: 6 });

    await a.followers.sendPositions([move(1)]);
    await a.bus.publish([assigned]);
    await until(() => sockets.every((socket) => socket.events().length === 1));
    await b.followers.sendPositions([move(2)]);
    for (const socket of sockets)
      expect(await socket.waitForFrame('position')).toEqual({
        type: 'position',
        tripId,
        lat: 2,
        lng: 106.7,
        recordedAt: expect.any(String),
        headingDegrees: 180,
      });
    await b.bus.publish([completed]);
    await until(() => sockets.every((socket) => socket.events().length === 2));
    await a.followers.sendPositions([move(3)]);
    const [last] = await publishEvents(a, rider, 1);
    await until(() => sockets.every((socket) => socket.events().some(({ id }) => String(id) === last)));
    const frameCounts = [...sockets, ...others].map(({ frames }) =>
      frames.flatMap((frame) => (frame.type === 'position' ? [frame.lat] : [])),
    );
    expect(frameCounts).toEqual([[2], [2], [], []]);
  });
});

describe('when Redis is unavailable', () => {
  test('tickets are answered with 503 and live connections stay open', async () => {
    const { instance } = createDeployment();
    const a = await instance();
    const socket = await a.connect(newPerson());
    a.proxy.refuseConnections();
    const response = await fetch(`${a.url}/v1/realtime/ticket`, {
      method: 'POST',
      headers: tokens.bearer(newPerson(), 'rider'),
    });
    expect([response.status, await response.json()]).toMatchObject([503, { code: 'service.unavailable' }]);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    const upgrade = await fetch(`${a.url}/v1/realtime?ticket=x`, {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      },
    });
    expect(upgrade.status).toBe(503);
    expect((await fetch(`${a.url}/readyz`)).status).toBe(503);
    socket.send('?');
    await until(() => socket.errorCodes().length === 1);
    a.proxy.resume();
    await until(() => a.ticket(newPerson()));
  });

  test('events wait in the bus and are each pushed once after it is back', async () => {
    const { instance } = createDeployment();
    const a = await instance();
    const rider = newPerson();
    const socket = await a.connect(rider);
    const before = await socket.waitForWelcome();
    a.proxy.refuseConnections();
    await until(() => a.redis.status !== 'ready');
    const ids = await publishEvents(a, rider, 5);
    a.proxy.resume();
    await until(() => socket.events().length === 5, { timeoutMs: 30_000 });
    expect(socket.seqs()).toEqual(range(before + 1, before + 5));
    expect(new Set(socket.events().map(({ id }) => String(id)))).toEqual(new Set(ids));
  }, 40_000);

  test('and comes back empty, live and resuming connections receive `recovered: false` and all later events', async () => {
    const deployment = createDeployment();
    const a = await deployment.instance();
    const rider = newPerson();
    const socket = await a.connect(rider);
    await publishEvents(a, rider, 40);
    await until(() => socket.events().length === 40);
    const remembered = socket.seqs().at(-1) ?? 0;
    await deployment.lose();
    await publishEvents(a, rider, 45);
    await until(() => socket.frames.some((frame) => frame.type === 'resumed'));
    const resumed = await socket.waitForFrame('resumed');
    expect(resumed).toMatchObject({ recovered: false });

    const again = await a.connect(rider);
    again.send({ type: 'resume', after: remembered });
    const [lastSeq = 0] = await a.inbox.lastSeqs([rider], clock.nowMs());
    expect(await again.waitForFrame('resumed')).toEqual({
      type: 'resumed',
      recovered: false,
      lastSeq,
      snapshot: { trip: null },
    });
    await publishEvents(a, rider, 1);
    await until(() => socket.seqs().at(-1) === lastSeq + 1 && again.seqs().at(-1) === lastSeq + 1);
  });
});
