import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { PersonId } from '@contracts/ids.ts';
import { sampleTripEvent } from '@testing/events.ts';
import { createTestDatabase, type TestDatabase } from '@testing/postgres.ts';
import { createPlannedDatabase, type PlannedDatabase } from '@testing/query-plans.ts';
import { until } from '@testing/until.ts';
import { createMemoryBus } from '../bus/memory.ts';
import { createManualClock } from '../clock.ts';
import { createLog } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import { createRelay } from '../outbox/relay.ts';
import { createSeededRandom } from '../random.ts';
import { createSweeper } from '../sweeper.ts';
import { createDatabase } from './database.ts';
import { createInboxLookup } from './inbox.ts';
import { migrate } from './migrate.ts';
import { findResponse } from './statements.ts';

const clock = createManualClock(Date.UTC(2026, 10, 22, 8));
const dayMs = 24 * 60 * 60 * 1_000;
const log = createLog('silent');
let home: TestDatabase;
let planned: PlannedDatabase;
beforeAll(async () => {
  home = await createTestDatabase();
  const database = createDatabase({
    url: home.url,
    schema: 'trip',
    poolMax: 1,
    statementTimeoutMs: 5_000,
    log,
  });
  const sql = database.primary;
  await migrate(database, [], log);
  const { type, subject, time, data } = sampleTripEvent({ type: 'trip.completed.v1', timeMs: clock.nowMs() });
  await sql`
    insert into outbox (event_id, type, subject, time_ms, data)
    select gen_random_uuid(), ${type}, ${subject}, ${Date.parse(time)}, ${sql.json(data as never)}
    from generate_series(1, 5000)`;
  await sql`
    insert into inbox (consumer, event_id, at_ms)
    select 'trip.listener', gen_random_uuid(), ${clock.nowMs() - 7 * dayMs - 20}::bigint + n from generate_series(1, 5000) as n`;
  await sql`
    insert into idempotency (person_id, key, fingerprint, response, at_ms)
    select gen_random_uuid(), 'key', '', '{}', ${clock.nowMs() - dayMs - 20}::bigint + n from generate_series(1, 5000) as n`;
  await sql`analyze`;
  await database.close();
  planned = createPlannedDatabase(home.url, 'trip');
}, 30_000);
afterAll(async () => {
  await planned.close();
  await home.drop();
}, 30_000);

test('the relay reads a backlog of the outbox in index order, without scanning the table', async () => {
  const bus = createMemoryBus({ clock, random: createSeededRandom(1), log });
  let published = 0;
  const relay = createRelay({
    database: planned.database,
    bus: {
      ...bus,
      publish: async (events) => {
        published += events.length;
        throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
      },
    },
    clock,
    log,
    metrics: createMetrics(),
  });
  const plan = await planned.plansOf(async () => {
    await relay.start();
    await until(() => published > 0);
    await relay.stop();
  });
  expect(plan).toMatch(/CTE \w+\n +-> +Limit\n +-> +Index Scan using outbox_pkey on outbox/);
  expect(plan).not.toMatch(/Seq Scan on outbox[ \n]/);
  expect(plan).toMatch(/Delete on outbox\n +-> +Index Scan using outbox_pkey on outbox/);
});

test('the sweeper finds expired inbox rows and idempotency keys by index', async () => {
  const sweeper = createSweeper({ database: planned.database, clock, log, batchMax: 100 });
  const plan = await planned.plansOf(async () => {
    await sweeper.start();
    await until(() => clock.sleepers() > 0);
    await sweeper.stop();
  });
  expect(plan).toMatch(/inbox_pkey\n +Index Cond: \(event_id </);
  expect(plan).toContain('idempotency_at');
  for (const table of ['inbox', 'idempotency']) expect(plan).not.toContain(`Seq Scan on ${table}`);
});

test('a stored response is found by person and key, an applied event by consumer', async () => {
  const key = { personId: crypto.randomUUID() as PersonId, key: 'key', fingerprint: '' };
  const plan = await planned.plansOf(() => findResponse(planned.database.primary, key));
  const applied = createInboxLookup(planned.database, 'trip.listener');
  const inboxPlan = await planned.plansOf(() => applied.find([crypto.randomUUID(), crypto.randomUUID()]));
  expect(plan).toContain('idempotency_pkey');
  expect(inboxPlan).toContain('inbox_pkey');
  expect(`${plan}${inboxPlan}`).not.toContain('Seq Scan');
});
