import { describe, expect, test } from 'bun:test';
import postgres from 'postgres';
import { createTestDatabase } from './postgres.ts';
import { testRabbitmqNamespace } from './rabbitmq.ts';
import { testRedisNamespace } from './redis.ts';
import { testServers } from './servers.ts';
import { until } from './until.ts';

const query = async (url: string, text: string): Promise<Record<string, unknown>[]> => {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    return [...(await sql.unsafe(text))];
  } finally {
    await sql.end();
  }
};

test('a server that was not started fails its test with how to start it', () => {
  const servers = testServers({ UITGO_TEST_AMQP_URL: 'amqp://given' });
  expect(servers.amqp).toBe('amqp://given');
  expect(() => servers.postgres).toThrow(
    'no test server: UITGO_TEST_POSTGRES_URL is not set. Run `bun run test',
  );
});

test('test namespaces are never equal', () => {
  const prefixes = [
    testRedisNamespace(),
    testRedisNamespace(),
    testRabbitmqNamespace(),
    testRabbitmqNamespace(),
  ];
  expect(new Set(prefixes.map(({ prefix }) => prefix)).size).toBe(4);
});

describe('a test database', () => {
  test('is empty, exists on the replica, and is dropped even with a client connected', async () => {
    const database = await createTestDatabase();
    expect(await query(database.replicaUrl, 'select 1 as one')).toEqual([{ one: 1 }]);
    const client = postgres(database.url, { max: 1, onnotice: () => undefined });
    await client`create table a ()`;
    await database.drop();
    await expect(query(database.url, 'select 1')).rejects.toThrow('does not exist');
    await client.end().catch(() => undefined);
  });

  test('can be created as a copy of another database', async () => {
    const template = await createTestDatabase();
    await query(template.url, 'create table cities as select 7 as id');
    const copy = await createTestDatabase({ template: new URL(template.url).pathname.slice(1) });
    expect(await query(copy.url, 'select id from cities')).toEqual([{ id: 7 }]);
    expect(await until(() => query(copy.replicaUrl, 'select id from cities'))).toEqual([{ id: 7 }]);
    await copy.drop();
    await template.drop();
  });
});
