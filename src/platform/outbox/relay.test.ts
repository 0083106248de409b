import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { DomainEvent } from '@contracts/events.ts';
import { sampleTripEvent } from '@testing/events.ts';
import { createTestDatabase, type TestDatabase } from '@testing/postgres.ts';
import { testRabbitmqNamespace } from '@testing/rabbitmq.ts';
import { until } from '@testing/until.ts';
import { connect as connectRabbit } from 'amqplib';
import { createTcpProxy, type TcpProxy } from '../../tools/faults/tcp-proxy.ts';
import type { Bus } from '../bus/bus.ts';
import { EventInvalidError } from '../bus/envelope.ts';
import { createMemoryBus } from '../bus/memory.ts';
import { createRabbitBus } from '../bus/rabbit.ts';
import { createBrokerNames, queueNamesOf } from '../bus/topology.ts';
import { createManualClock, systemClock } from '../clock.ts';
import { createLog, type Log } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import { createDatabase, type Database } from '../postgres/database.ts';
import { migrate } from '../postgres/migrate.ts';
import { insertEvent } from '../postgres/statements.ts';
import { systemRandom } from '../random.ts';
import { createRelay, type Relay } from './relay.ts';

const silent = createLog('silent');
let testDatabase: TestDatabase;
let database: Database;
let bus: Bus;
let received: DomainEvent[];
const cleanups: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  testDatabase = await createTestDatabase();
  database = connect();
  await migrate(database, [], silent);
  bus = createMemoryBus({ clock: systemClock, random: systemRandom, log: silent });
  received = [];
  await listen(bus, received);
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await bus.close();
  await testDatabase.drop();
});

function connect(): Database {
  const options = { schema: 'trip', poolMax: 6, statementTimeoutMs: 5_000, log: silent };
  const connected = createDatabase({ url: testDatabase.url, ...options });
  cleanups.push(() => connected.close());
  return connected;
}

async function listen(from: Bus, into: DomainEvent[]): Promise<void> {
  await from.subscribe({
    queue: 'test.listener',
    events: ['trip.requested.v1', 'trip.assigned.v1'],
    prefetch: 100,
    handle: async ({ event }) => {
      into.push(event);
      return { kind: 'done' };
    },
  });
}

interface RelayOverrides {
  database?: Database;
  bus?: Bus;
  log?: Log;
  metrics?: Metrics;
  idleMs?: number;
  batchMax?: number;
  backlogMax?: number;
}

async function startRelay(overrides: RelayOverrides = {}): Promise<Relay> {
  const defaults = { database, bus, clock: systemClock, log: silent, metrics: createMetrics() };
  const relay = createRelay({ ...defaults, ...overrides });
  await relay.start();
  cleanups.push(() => relay.stop());
  return relay;
}

async function commit(...events: DomainEvent[]): Promise<void> {
  for (const event of events) {
    const sql = database.primary;
    await sql`with changed as (select 1 as one), inserted as (${insertEvent(sql, event, 'changed')}) select 1`;
  }
}

async function countRows(): Promise<number> {
  const [row] = await database.primary<{ count: number }[]>`select count(*)::int as count from outbox`;
  return row?.count ?? -1;
}

const waitUntilEmpty = () =>
  until(async () => (await countRows()) === 0, { describe: 'the outbox to be empty' });
const idsOf = (events: DomainEvent[]) => events.map(({ id }) => id);

describe('a committed event', () => {
  test('is published once, unchanged, and removed from the outbox', async () => {
    const event = sampleTripEvent();
    event.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await startRelay();
    await commit(event);
    await waitUntilEmpty();
    await until(() => received.length === 1);
    expect(received).toEqual([event]);
  });

  test('is published at once after a wake, long before the idle time has passed', async () => {
    const relay = await startRelay({ idleMs: 60_000 });
    await commit(sampleTripEvent());
    relay.wake();
    await waitUntilEmpty();
  });

  test('is published without a wake too', async () => {
    await startRelay({ idleMs: 20 });
    await commit(sampleTripEvent());
    await waitUntilEmpty();
  });
});

describe('order', () => {
  test('more events than one batch holds are published in order and without a pause', async () => {
    const events = Array.from({ length: 25 }, () => sampleTripEvent({ subject: 'one' }));
    await commit(...events);
    await startRelay({ batchMax: 10, idleMs: 60_000 });
    await waitUntilEmpty();
    await until(() => received.length === 25);
    expect(idsOf(received)).toEqual(idsOf(events));
  });

  test('several relays publish each event once, in the order of its subject, whichever process wrote it', async () => {
    const relays = [await startRelay(), await startRelay({ database: connect() }), await startRelay()];
    const events = Array.from({ length: 150 }, (_, at) => sampleTripEvent({ subject: `subject-${at % 3}` }));
    for (const [at, event] of events.entries()) {
      await commit(event);
      relays[at % relays.length]?.wake();
    }
    await waitUntilEmpty();
    await until(() => received.length >= events.length);
    expect(idsOf(received).sort()).toEqual(idsOf(events).sort());
    for (const subject of ['subject-0', 'subject-1', 'subject-2'])
      expect(idsOf(received.filter((event) => event.subject === subject))).toEqual(
        idsOf(events.filter((event) => event.subject === subject)),
      );
  });

  test('writers and relays racing at full speed publish each event once', async () => {
    const relays = await Promise.all(Array.from({ length: 4 }, () => startRelay({ batchMax: 7 })));
    const events = Array.from({ length: 200 }, () => sampleTripEvent());
    await Promise.all(
      events.map(async (event, at) => {
        await commit(event);
        relays[at % relays.length]?.wake();
      }),
    );
    await waitUntilEmpty();
    await until(() => received.length >= events.length);
    expect(idsOf(received).sort()).toEqual(idsOf(events).sort());
  });
});

describe('faults', () => {
  test('a crash between confirm and delete publishes events again and loses none', async () => {
    const events = [sampleTripEvent(), sampleTripEvent()];
    await commit(...events);
    const crashing = connect();
    const crashed: Bus = {
      ...bus,
      async publish(batch) {
        await bus.publish(batch);
        // From the database's point of view the process crashes here.
        await crashing.close();
      },
    };
    const dying = await startRelay({ database: crashing, bus: crashed });
    await until(() => received.length === 2);
    void dying.stop();
    expect(await countRows()).toBe(2);
    await startRelay();
    await waitUntilEmpty();
    await until(() => received.length === 4);
    expect(idsOf(received)).toEqual(idsOf([...events, ...events]));
  });

  test('events wait while the broker is unavailable, which is logged once, and are published when it is back', async () => {
    let isUnavailable = true;
    let attempts = 0;
    const flaky: Bus = {
      ...bus,
      async publish(events) {
        attempts++;
        if (isUnavailable) throw new Error('the message broker is unavailable');
        await bus.publish(events);
      },
    };
    const logged: string[] = [];
    const record = (_: object, message: string) => void logged.push(message);
    const log: Log = {
      ...silent,
      debug: record,
      info: record,
      warn: record,
      error: record,
      child: () => log,
    };
    const metrics = createMetrics();
    await startRelay({ bus: flaky, log, metrics });
    const events = [sampleTripEvent(), sampleTripEvent()];
    await commit(...events);
    await until(() => attempts >= 3);
    expect(logged).toEqual(['failed to publish outbox batch']);
    expect(metrics.text()).toContain('outbox_backlog_rows{context="trip"} 2\n');
    isUnavailable = false;
    await waitUntilEmpty();
    await until(() => logged.length === 2);
    expect(logged[1]).toBe('outbox is publishing again');
    expect(idsOf(received)).toEqual(idsOf(events));
    expect(metrics.text()).toContain('outbox_lag_ms_count{context="trip"} 2\n');
  });

  test('assertRoom of every relay throws while the backlog is too long, until events are published again', async () => {
    let isUnavailable = true;
    const flaky: Bus = {
      ...bus,
      async publish(events) {
        if (isUnavailable) throw new Error('the message broker is unavailable');
        await bus.publish(events);
      },
    };
    const parts = { bus: flaky, batchMax: 2, backlogMax: 4 };
    const relays = [await startRelay(parts), await startRelay({ ...parts, database: connect() })];
    const roomErrors = () =>
      relays.map((relay) => {
        try {
          relay.assertRoom();
          return undefined;
        } catch (error) {
          return error;
        }
      });
    await commit(...Array.from({ length: 4 }, () => sampleTripEvent()));
    expect(roomErrors()).toEqual([undefined, undefined]);
    await commit(sampleTripEvent());
    const errors = await until(() => roomErrors().every((error) => error !== undefined) && roomErrors());
    for (const error of errors)
      expect(error).toMatchObject({ code: 'service.unavailable', kind: 'unavailable', retryAfterSeconds: 5 });
    isUnavailable = false;
    await until(() => roomErrors().every((error) => error === undefined));
    await waitUntilEmpty();
    await until(() => new Set(idsOf(received)).size === 5);
  });

  test('the lease of a relay that was killed or paused expires, and the events it had read are published', async () => {
    const paused: Bus = { ...bus, publish: () => new Promise(() => undefined) };
    const frozen = createManualClock(systemClock.nowMs());
    const zombie = createRelay({
      database,
      bus: paused,
      clock: frozen,
      log: silent,
      metrics: createMetrics(),
    });
    await commit(sampleTripEvent());
    await zombie.start();
    await until(async () => {
      const [lease] = await database.primary<{ held: boolean }[]>`
        select until_ms > 0 as held from outbox_lease`;
      return lease?.held;
    });
    await startRelay();
    await waitUntilEmpty();
    expect(received.length).toBe(1);
  });

  test('a relay keeps its lease while the broker is slow', async () => {
    const slow = Promise.withResolvers<void>();
    const published: DomainEvent[] = [];
    const clock = createManualClock(1_800_000_000_000);
    const slowBus: Bus = {
      ...bus,
      async publish(events) {
        published.push(...events);
        await slow.promise;
      },
    };
    const parts = { database, bus: slowBus, clock, log: silent, metrics: createMetrics() };
    const relays = [createRelay(parts), createRelay(parts)];
    await commit(sampleTripEvent());
    for (const relay of relays) await relay.start();
    await until(() => published.length === 1);
    for (let second = 0; second < 10; second++) {
      await clock.advance(1_000);
      await until(async () => {
        const [lease] = await database.primary<{ until_ms: number }[]>`select until_ms from outbox_lease`;
        return (lease?.until_ms ?? 0) >= clock.nowMs() + 1_000;
      });
    }
    expect(published.length).toBe(1);
    slow.resolve();
    await waitUntilEmpty();
    const stopped = Promise.all(relays.map((relay) => relay.stop()));
    await clock.advance(1_000);
    await stopped;
  });

  test('a row that breaks the event contract is set aside with its reason, and the others are published', async () => {
    const [broken, large, good] = [sampleTripEvent(), sampleTripEvent(), sampleTripEvent()];
    Object.assign(broken.data, { version: 'one' });
    await commit(broken, large, good);
    const refusesLarge: Bus = {
      ...bus,
      async publish(events) {
        if (events.some(({ id }) => id === large.id)) throw new EventInvalidError('too large');
        await bus.publish(events);
      },
    };
    await startRelay({ bus: refusesLarge });
    await until(async () => (await countRows()) === 2);
    await until(() => received.length === 1);
    expect(idsOf(received)).toEqual([good.id]);
    const refused = await database.primary<{ event_id: string; refused: string }[]>`
      select event_id, refused from outbox order by id`;
    expect(refused.map(({ event_id }) => event_id)).toEqual([broken.id, large.id]);
    expect(refused[0]?.refused).toMatch(/\/data\/version/);
    expect(refused[1]?.refused).toBe('too large');
  });
});

describe('on RabbitMQ', () => {
  let proxy: TcpProxy;
  let rabbit: Bus;
  const retry = { delaysMs: [20], attemptsMax: 3 };

  beforeEach(async () => {
    const { url, prefix } = testRabbitmqNamespace();
    const namespace = prefix.slice(0, -1);
    proxy = await createTcpProxy(url);
    const parts = { clock: systemClock, random: systemRandom, log: silent, metrics: createMetrics() };
    rabbit = createRabbitBus({
      url: proxy.rewriteUrl(url),
      namespace,
      retry,
      publishTimeoutMs: 500,
      ...parts,
    });
    cleanups.push(async () => {
      await rabbit.close();
      await proxy.close();
      const names = createBrokerNames(namespace);
      const model = await connectRabbit(url);
      const channel = await model.createChannel();
      for (const name of queueNamesOf(names, 'test.listener', retry)) await channel.deleteQueue(name);
      await channel.deleteExchange(names.exchange);
      await model.close();
    });
    await listen(rabbit, received);
  });

  test('every committed event arrives although the broker is unavailable in between', async () => {
    const relay = await startRelay({ bus: rabbit, batchMax: 16 });
    const events = Array.from({ length: 120 }, (_, at) =>
      sampleTripEvent({ subject: `subject-${at % 4}`, version: at + 1 }),
    );
    for (const [at, event] of events.entries()) {
      if (at === 40) proxy.refuseConnections();
      if (at === 80) proxy.resume();
      await commit(event);
      relay.wake();
    }
    await until(async () => (await countRows()) === 0, { timeoutMs: 15_000 });
    await until(() => new Set(idsOf(received)).size === events.length, { timeoutMs: 15_000 });
    for (let at = 0; at < 4; at++) {
      const seen = received.filter(({ subject }) => subject === `subject-${at}`);
      const versions = [...new Set(seen.map((event) => ('version' in event.data ? event.data.version : 0)))];
      expect(versions).toEqual(versions.toSorted((a, b) => a - b));
    }
  }, 30_000);

  test('each event arrives once while nothing fails', async () => {
    const relays = [await startRelay({ bus: rabbit }), await startRelay({ bus: rabbit })];
    const events = Array.from({ length: 60 }, () => sampleTripEvent());
    for (const [at, event] of events.entries()) {
      await commit(event);
      relays[at % 2]?.wake();
    }
    await waitUntilEmpty();
    await until(() => received.length >= events.length);
    expect(idsOf(received).sort()).toEqual(idsOf(events).sort());
  });
});
