import type { DomainEvent } from '../../src/contracts/events.ts';
import { createBatcher } from '../../src/platform/batcher.ts';
import { type Bus, done } from '../../src/platform/bus/bus.ts';
import { createRabbitBus } from '../../src/platform/bus/rabbit.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { createRelay } from '../../src/platform/outbox/relay.ts';
import { createDatabase, type Sql } from '../../src/platform/postgres/database.ts';
import { migrate } from '../../src/platform/postgres/migrate.ts';
import { claimEvents, insertEvents } from '../../src/platform/postgres/statements.ts';
import { problem } from '../../src/platform/problems.ts';
import { systemRandom } from '../../src/platform/random.ts';
import type { Servers } from '../../src/tools/servers/index.ts';
import type { EventLoad, FlowLimits } from './baseline.ts';
import { sampleEvent } from './sample.ts';

const consumerName = 'bench.listener';
const batchMax = 256;
const inFlightBatchesMax = 4;

export interface Pipeline extends EventLoad {
  /** Commits one event; resolves once its effect is visible. */
  publishEvent(): Promise<void>;
  /** Number of effect rows and of distinct events: they differ when an event was applied twice. */
  countEffects(): Promise<{ rows: number; events: number }>;
}

/**
 * The complete path of an event: a change and its outbox row in one statement, the relay, a quorum queue with
 * confirms, and a consumer whose effect and inbox row are one statement. Concurrent writes are batched on both
 * ends, as in the creation of trips.
 */
export async function createPipeline(servers: Servers, limits: FlowLimits): Promise<Pipeline> {
  const log = createLog('error');
  const deps = { clock: systemClock, random: systemRandom, log, metrics: createMetrics() };
  const url = servers.postgres?.url ?? '';
  const database = createDatabase({ url, schema: 'bench', poolMax: 8, statementTimeoutMs: 10_000, log });
  await migrate(database, [], log);
  const sql = database.primary;
  await sql`create table changes (trip_id uuid primary key, at_ms bigint not null)`;
  await sql`create table effects (event_id uuid not null, trip_id uuid not null, at_ms bigint not null)`;
  const { unconfirmedMax, prefetch } = limits;
  const amqpUrl = servers.rabbitmq?.url ?? '';
  const bus = createRabbitBus({ ...deps, url: amqpUrl, namespace: 'bench', unconfirmedMax });
  const relay = createRelay({ ...deps, database, bus });
  const commit = inBatches(limits, async (events) => {
    await write(sql, events);
    relay.wake();
  });
  const pendingEvents = new Map<string, () => void>();
  const onApplied = (id: string) => {
    pendingEvents.get(id)?.();
    pendingEvents.delete(id);
  };
  await subscribe(
    bus,
    prefetch,
    inBatches(limits, (events) => applyEffects(sql, events)),
    onApplied,
  );
  await relay.start();

  async function publishEvent(): Promise<void> {
    const event = sampleEvent();
    const { promise, resolve } = Promise.withResolvers<void>();
    pendingEvents.set(event.id, resolve);
    await commit(event);
    await promise;
  }

  return {
    publishEvent,
    async run(seconds) {
      const endMs = performance.now() + seconds * 1000;
      let published = 0;
      const publisher = async () => {
        for (; performance.now() < endMs; published++) await publishEvent();
      };
      await Promise.all(Array.from({ length: limits.inFlightMax }, publisher));
      return published;
    },
    async countEffects() {
      const [counts] = await sql<{ rows: number; events: number }[]>`
        select count(*)::int as rows, count(distinct event_id)::int as events from effects`;
      return counts ?? { rows: 0, events: 0 };
    },
    async close() {
      await relay.stop();
      await bus.close();
      await database.close();
    },
  };
}

const inBatches = (limits: FlowLimits, work: (events: DomainEvent[]) => Promise<void>) =>
  createBatcher<DomainEvent, true>({
    clock: systemClock,
    batchMax,
    inFlightBatchesMax,
    pendingCallsMax: limits.inFlightMax,
    waitMsMax: 60_000,
    createOverloadError: () => problem('service.unavailable'),
    keyOf: ({ subject }) => subject,
    runBatch: (events) => work(events).then(() => events.map(() => true)),
  });

async function subscribe(
  bus: Bus,
  prefetch: number,
  apply: (event: DomainEvent) => Promise<unknown>,
  onApplied: (id: string) => void,
): Promise<void> {
  await bus.subscribe({
    queue: consumerName,
    events: ['trip.requested.v1'],
    prefetch,
    async handle({ event }) {
      await apply(event);
      onApplied(event.id);
      return done;
    },
  });
}

async function write(sql: Sql, events: DomainEvent[]): Promise<void> {
  await sql`
    with changed as (
           insert into changes (trip_id, at_ms)
           select id, ${systemClock.nowMs()} from unnest(${events.map(({ subject }) => subject)}::uuid[]) as id
           returning 1),
         outbox_rows as (${insertEvents(sql, events)})
    select count(*) from changed`;
}

async function applyEffects(sql: Sql, events: DomainEvent[]): Promise<void> {
  const nowMs = systemClock.nowMs();
  const ids = events.map(({ id }) => id);
  await sql`
    with claimed as (${claimEvents(sql, consumerName, ids, nowMs)})
    insert into effects (event_id, trip_id, at_ms)
    select claimed.event_id, event.trip_id, ${nowMs}
    from claimed
    join unnest(${ids}::uuid[], ${events.map(({ subject }) => subject)}::uuid[]) as event (event_id, trip_id)
      using (event_id)`;
}
