import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createTestDatabase, type TestDatabase } from '@testing/postgres.ts';
import type { Log } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import { createDatabase, type Database } from './database.ts';

let home: TestDatabase;
let database: Database;
const metrics = createMetrics();
const warned: Record<string, unknown>[] = [];
const log: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (fields) => void warned.push({ ...fields }),
  error: () => undefined,
  child: () => log,
};

beforeAll(async () => {
  home = await createTestDatabase();
  database = open(50, 'public');
}, 30_000);

const open = (slowQueryMs: number, schema: string): Database =>
  createDatabase({
    url: home.url,
    schema,
    poolMax: 2,
    statementTimeoutMs: 300,
    slowQueryMs,
    log,
    metrics,
  });

afterAll(async () => {
  await database.close();
  await home.drop();
}, 30_000);

test('a slow statement is logged with its text and duration, never with its parameters', async () => {
  const { primary: sql } = database;
  const secret = 'rider@example.com';
  const condition = sql`length(${secret}) > ${0}`;
  await sql`select pg_sleep(${0.08}) as nap where ${condition}`;
  expect(warned).toHaveLength(1);
  const [{ statement, durationMs, outcome, context, server } = {}] = warned.splice(0);
  expect([outcome, context, server]).toEqual(['done', 'public', 'primary']);
  expect(statement).toBe('select pg_sleep($1) as nap where length($2) > $3');
  expect(durationMs).toBeGreaterThanOrEqual(70);
});

test('a statement that failed after a long time is logged too, and its error reaches the caller once', async () => {
  const failure = await database.primary`select pg_sleep(${5}), ${'a secret'}::text`.catch(
    (error: unknown) => error,
  );
  expect(failure).toMatchObject({ code: '57014' });
  expect(warned.splice(0)).toMatchObject([{ outcome: 'failed', statement: 'select pg_sleep(…), …::text' }]);
});

test('quick statements are only measured, also those on reserved connections', async () => {
  const quick = open(60_000, 'quick');
  await quick.primary`select 1`;
  const reserved = await quick.primary.reserve();
  await reserved`select 2`;
  reserved.release();
  const rows = await Promise.all([quick.primary`select 3 as n`, quick.primary`select 4 as n`]);
  expect(rows.map(([row]) => row?.n)).toEqual([3, 4]);
  await quick.close();
  expect(warned).toEqual([]);
  const text = metrics.text();
  expect(text).toContain('sql_duration_ms_count{context="quick",server="primary"} 4\n');
  expect(text).toContain('sql_slow_total{context="public",server="primary"} 2\n');
  expect(text).not.toContain('sql_slow_total{context="quick"');
});
