import { expect, test } from 'bun:test';
import { createTestDatabase } from '@testing/postgres.ts';
import { until } from '@testing/until.ts';
import { createTcpProxy } from '../../tools/faults/tcp-proxy.ts';
import { createLog } from '../log.ts';
import { isOutage } from '../outage.ts';
import { createDatabase, type DatabaseOptions } from './database.ts';

const open = (url: string, options: Partial<DatabaseOptions> = {}) =>
  createDatabase({
    url,
    schema: 'public',
    poolMax: 8,
    statementTimeoutMs: 1_000,
    log: createLog('silent'),
    ...options,
  });

test('a forwarder that accepts and closes connections is an outage to callers, and reconnects are paced', async () => {
  const test = await createTestDatabase();
  const proxy = await createTcpProxy(test.url);
  const database = open(proxy.rewriteUrl(test.url));
  await database.ping();
  proxy.refuseConnections();
  const dialled = proxy.acceptedCount();
  const startedMs = performance.now();
  const failures = await Promise.allSettled(Array.from({ length: 8 }, () => database.ping()));
  expect(failures.every((failure) => failure.status === 'rejected' && isOutage(failure.reason))).toBe(true);
  expect(performance.now() - startedMs).toBeLessThan(10_000);
  await until(() => performance.now() - startedMs > 1_000, { describe: 'a second to pass' });
  expect(proxy.acceptedCount() - dialled).toBeLessThan(100);
  proxy.resume();
  await until(() => database.ping().then(() => true));
  await database.close();
  await proxy.close();
  await test.drop();
});

test('a server that refuses connections is an outage', async () => {
  const database = open('postgres://nobody:nothing@127.0.0.1:1/none');
  const failure = await database.ping().catch((error: unknown) => error);
  expect(isOutage(failure)).toBe(true);
  await database.close();
});

test('a statement that takes too long is cancelled and counts as an outage', async () => {
  const test = await createTestDatabase();
  const database = open(test.url, { statementTimeoutMs: 100 });
  const failure = await database.primary`select pg_sleep(5)`.catch((error: unknown) => error);
  expect(isOutage(failure)).toBe(true);
  await database.close();
  await test.drop();
});

test('bigints are numbers, and every context sees its own schema first', async () => {
  const test = await createTestDatabase();
  const database = open(test.url, { schema: 'trip' });
  await database.primary`create schema trip`;
  await database.primary`create table here (at_ms bigint)`;
  await database.primary`insert into here values (${1_795_368_936_258})`;
  const [row] = await database.primary`select at_ms, '{trip.here}'::text[] as names from trip.here`;
  expect(row?.at_ms).toBe(1_795_368_936_258);
  await database.close();
  await test.drop();
});
