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
let home: TestDatabase;
let database: Database;
let bus: Bus;
let received: DomainEvent[];
const cleanups: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  home = await createTestDatabase();
  database = connect();
  await migrate(database, [], silent);
  bus = createMemoryBus({ clock: systemClock, random: systemRandom, log: silent });
  received = [];
  await listen(bus, received);
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await bus.close();
  await home.drop();
});

function connect(): Database {
  const options = { schema: 'trip', poolMax: 6, statementTimeoutMs: 5_000, log: silent };
  const connected = createDatabase({ url: home.url, ...options });
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

interface RelayParts {
  database?: Database;
  bus?: Bus;
  log?: Log;
  metrics?: Metrics;
  idleMs?: number;
  batchMax?: number;
  backlogMax?: number;
}

async function startRelay(parts: RelayParts = {}): Promise<Relay> {
  const defaults = { database, bus, clock: systemClock, log: silent, metrics: createMetrics() };
  const relay = createRelay({ ...defaults, ...parts });
  await relay.start();
  cleanups.push(() => relay.stop());
  return relay;
}

async function commit(...events: DomainEvent[]): Promise<void> {
  for (const event of events) {
    const sql = database.primary;
    await sql`with changed as (select 1 as one), told as (${insertEvent(sql, event, 'changed')}) select 1`;
  }
}

async function rows(): Promise<number> {
  const [row] = await database.primary<{ count: number }[]>`select count(*)::int as count from outbox`;
  return row?.count ?? -1;
}

const emptied = () => until(async () => (await rows()) === 0, { describe: 'the outbox to be empty' });
const idsOf = (events: DomainEvent[]) => events.map(({ id }) => id);

describe('a committed event', () => {
  test('is published once, as it was written, and leaves the outbox', async () => {
    const event = sampleTripEvent();
    event.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await startRelay();
    await commit(event);
    await emptied();
    await until(() => received.length === 1);
    expect(received).toEqual([event]);
  });

  test('leaves at once after a nudge, long before the relay would have looked', async () => {
    const relay = await startRelay({ idleMs: 60_000 });
    await commit(sampleTripEvent());
    relay.wake();
    await emptied();
  });

  test('leaves without a nudge too', async () => {
    await startRelay({ idleMs: 20 });
    await commit(sampleTripEvent());
    await emptied();
  });
});

describe('order', () => {
  test('more events than one batch leave in order and without a pause', async () => {
    const events = Array.from({ length: 25 }, () => sampleTripEvent({ subject: 'one' }));
    await commit(...events);
    await startRelay({ batchMax: 10, idleMs: 60_000 });
    await emptied();
    await until(() => received.length === 25);
    expect(idsOf(received)).toEqual(idsOf(events));
  });

  test('several relays publish each event once, in the order of its subject, whoever wrote it', async () => {
    const relays = [await startRelay(), await startRelay({ database: connect() }), await startRelay()];
    const events = Array.from({ length: 150 }, (_, at) => sampleTripEvent({ subject: `subject-${at % 3}` }));
    for (const [at, event] of events.entries()) {
      await commit(event);
      relays[at % relays.length]?.wake();
    }
    await emptied();
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
    await emptied();
    await until(() => received.length >= events.length);
    expect(idsOf(received).sort()).toEqual(idsOf(events).sort());
  });
});

describe('faults', () => {
  test('a crash between confirm and delete publishes again and loses nothing', async () => {
    const events = [sampleTripEvent(), sampleTripEvent()];
    await commit(...events);
    const crashing = connect();
    const crashed: Bus = {
      ...bus,
      async publish(batch) {
        await bus.publish(batch);
        // The process dies here, as far as the database can tell.
        await crashing.close();
      },
    };
    const dying = await startRelay({ database: crashing, bus: crashed });
    await until(() => received.length === 2);
    void dying.stop();
    expect(await rows()).toBe(2);
    await startRelay();
    await emptied();
    await until(() => received.length === 4);
    expect(idsOf(received)).toEqual(idsOf([...events, ...events]));
  });

  test('an event waits while the broker is away, which is told once, and leaves when it is back', async () => {
    let away = true;
    let attempts = 0;
    const flaky: Bus = {
      ...bus,
      async publish(events) {
        attempts++;
        if (away) throw new Error('the message broker is away');
        await bus.publish(events);
      },
    };
    const said: string[] = [];
    const say = (_: object, message: string) => void said.push(message);
    const log: Log = { ...silent, debug: say, info: say, warn: say, error: say, child: () => log };
    const metrics = createMetrics();
    await startRelay({ bus: flaky, log, metrics });
    const events = [sampleTripEvent(), sampleTripEvent()];
    await commit(...events);
    await until(() => attempts >= 3);
    expect(said).toEqual(['events wait in the outbox']);
    expect(metrics.text()).toContain('outbox_backlog_rows{context="trip"} 2\n');
    away = false;
    await emptied();
    await until(() => said.length === 2);
    expect(said[1]).toBe('events leave the outbox again');
    expect(idsOf(received)).toEqual(idsOf(events));
    expect(metrics.text()).toContain('outbox_lag_ms_count{context="trip"} 2\n');
  });

  test('past the bound of its backlog every relay refuses more, until events leave again', async () => {
    let away = true;
    const flaky: Bus = {
      ...bus,
      async publish(events) {
        if (away) throw new Error('the message broker is away');
        await bus.publish(events);
      },
    };
    const parts = { bus: flaky, batchMax: 2, backlogMax: 4 };
    const relays = [await startRelay(parts), await startRelay({ ...parts, database: connect() })];
    const refusals = () =>
      relays.map((relay) => {
        try {
          relay.assertRoom();
          return undefined;
        } catch (error) {
          return error;
        }
      });
    await commit(...Array.from({ length: 4 }, () => sampleTripEvent()));
    expect(refusals()).toEqual([undefined, undefined]);
    await commit(sampleTripEvent());
    const refused = await until(() => refusals().every((error) => error !== undefined) && refusals());
    for (const error of refused)
      expect(error).toMatchObject({ code: 'service.unavailable', kind: 'unavailable', retryAfterSeconds: 5 });
    away = false;
    await until(() => refusals().every((error) => error === undefined));
    await emptied();
    await until(() => new Set(idsOf(received)).size === 5);
  });

  test('the turn of a relay that was killed or paused passes on, and what it had read is published', async () => {
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
    await emptied();
    expect(received.length).toBe(1);
  });

  test('a slow broker does not cost a relay its turn', async () => {
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
    await emptied();
    const stopped = Promise.all(relays.map((relay) => relay.stop()));
    await clock.advance(1_000);
    await stopped;
  });

  test('a row that breaks the contract is set aside and told, and the others leave', async () => {
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
    await until(async () => (await rows()) === 2);
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

  test('every committed event arrives, though the broker goes away in between', async () => {
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
    await until(async () => (await rows()) === 0, { timeoutMs: 15_000 });
    await until(() => new Set(idsOf(received)).size === events.length, { timeoutMs: 15_000 });
    for (let at = 0; at < 4; at++) {
      const seen = received.filter(({ subject }) => subject === `subject-${at}`);
      const versions = [...new Set(seen.map((event) => ('version' in event.data ? event.data.version : 0)))];
      expect(versions).toEqual(versions.toSorted((a, b) => a - b));
    }
  }, 30_000);

  test('while nothing fails each event arrives once', async () => {
    const relays = [await startRelay({ bus: rabbit }), await startRelay({ bus: rabbit })];
    const events = Array.from({ length: 60 }, () => sampleTripEvent());
    for (const [at, event] of events.entries()) {
      await commit(event);
      relays[at % 2]?.wake();
    }
    await emptied();
    await until(() => received.length >= events.length);
    expect(idsOf(received).sort()).toEqual(idsOf(events).sort());
  });
});
