import { expect, test } from 'bun:test';
import { createTestDatabase } from '@testing/postgres.ts';
import { until } from '@testing/until.ts';
import { createManualClock } from './clock.ts';
import { firstIdAt } from './ids.ts';
import { createLog } from './log.ts';
import { createDatabase } from './postgres/database.ts';
import { migrate } from './postgres/migrate.ts';
import { createSweeper } from './sweeper.ts';

test('the sweeper deletes expired inbox rows and idempotency keys in batches, and keeps younger rows and old events that were applied recently', async () => {
  const log = createLog('silent');
  const testDatabase = await createTestDatabase();
  const database = createDatabase({
    url: testDatabase.url,
    schema: 'trip',
    poolMax: 2,
    statementTimeoutMs: 5_000,
    log,
  });
  const sql = database.primary;
  await migrate(database, [], log);
  const times = Array.from({ length: 100 }, (_, at) => at + 1);
  await sql`
    insert into inbox (consumer, event_id, at_ms)
    select 'test.listener', * from unnest(${times.map(firstIdAt)}::uuid[], ${times}::bigint[])`;
  await sql`insert into inbox (consumer, event_id, at_ms) values ('test.redriven', ${firstIdAt(1)}, 95)`;
  await sql`
    insert into idempotency (person_id, key, fingerprint, response, at_ms)
    select gen_random_uuid(), 'key', '', '{}', at from generate_series(1, 100) as at`;

  const clock = createManualClock(1_090);
  const retention = { inboxRetentionMs: 1_000, idempotencyRetentionMs: 1_040 };
  const sweeper = createSweeper({ database, clock, log, batchMax: 7, sweepEveryMs: 60_000, ...retention });
  await sweeper.start();
  const countRows = async () => {
    const [row] = await sql<{ inbox: number; idempotency: number }[]>`
      select (select count(*)::int from inbox) as inbox, (select count(*)::int from idempotency) as idempotency`;
    return row;
  };
  await until(async () => (await countRows())?.inbox === 12 && (await countRows())?.idempotency === 51);
  await until(() => clock.sleepers() === 1);
  expect(await countRows()).toEqual({ inbox: 12, idempotency: 51 });

  expect(await sql`select from inbox where consumer = 'test.redriven'`).toHaveLength(1);

  await sweeper.stop();
  await database.close();
  await testDatabase.drop();
});
