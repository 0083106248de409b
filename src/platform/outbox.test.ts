import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { DomainEvent } from '@contracts/events.ts';
import { sampleTripEvent } from '@testing/events.ts';
import { createTestDatabase, type TestDatabase } from '@testing/postgres.ts';
import { until } from '@testing/until.ts';
import type { Bus } from './bus/bus.ts';
import { createMemoryBus } from './bus/memory.ts';
import { systemClock } from './clock.ts';
import type { Loop } from './lifecycle.ts';
import { createLog, type Log } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { createRelay } from './outbox.ts';
import { createDatabase, type Database } from './postgres/database.ts';
import { migrate } from './postgres/migrate.ts';
import { insertEvent } from './postgres/statements.ts';
import { systemRandom } from './random.ts';

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
}

async function startRelay(parts: RelayParts = {}): Promise<Loop> {
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
    relay.nudge();
    await emptied();
  });

  test('leaves without a nudge too', async () => {
    await startRelay({ idleMs: 20 });
    await commit(sampleTripEvent());
    await emptied();
  });
});

test('more events than one batch leave in order and without a pause', async () => {
  const events = Array.from({ length: 25 }, () => sampleTripEvent({ subject: 'one' }));
  await commit(...events);
  await startRelay({ batchMax: 10, idleMs: 60_000 });
  await emptied();
  await until(() => received.length === 25);
  expect(idsOf(received)).toEqual(idsOf(events));
});
