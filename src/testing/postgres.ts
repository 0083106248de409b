import { randomBytes } from 'node:crypto';
import postgres from 'postgres';
import { testServers } from './servers.ts';
import { until } from './until.ts';

export type TestDatabase = {
  readonly url: string;
  /** The same database on the streaming replica: read-only, a few milliseconds behind. */
  readonly replicaUrl: string;
  /** Disconnects all clients and drops the database. */
  drop(): Promise<void>;
};

export type TestDatabaseOptions = {
  /** A database to copy with its tables and rows. No client may be connected to it meanwhile. */
  readonly template?: string;
};

/** Creates a database for one test, empty or a copy of `template`, and waits until it exists on the replica. */
export const createTestDatabase = async (options: TestDatabaseOptions = {}): Promise<TestDatabase> => {
  const servers = testServers();
  const name = `test_${randomBytes(8).toString('hex')}`;
  const template = options.template ?? 'template0';
  const url = databaseUrl(servers.postgres, name);
  const replicaUrl = databaseUrl(servers.postgresReplica, name);

  await withConnection(servers.postgres, async (primary) => {
    await primary.unsafe(`create database "${name}" template "${template}"`);
    const [row] = await primary<{ lsn: string }[]>`select pg_current_wal_flush_lsn()::text as lsn`;
    await withConnection(servers.postgresReplica, (replica) =>
      until(() => hasReplayed(replica, row?.lsn ?? '0/0'), {
        describe: `the replica to have the database ${name}`,
      }),
    );
  });
  return {
    url,
    replicaUrl,
    drop: () =>
      withConnection(servers.postgres, async (primary) => {
        await primary.unsafe(`drop database if exists "${name}" with (force)`);
      }),
  };
};

const hasReplayed = async (replica: postgres.Sql, lsn: string): Promise<boolean> => {
  const [row] = await replica<{ done: boolean }[]>`
    select coalesce(pg_last_wal_replay_lsn() >= ${lsn}::pg_lsn, not pg_is_in_recovery()) as done`;
  return row?.done === true;
};

const databaseUrl = (serverUrl: string, name: string): string => {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
};

const withConnection = async <T>(url: string, work: (sql: postgres.Sql) => Promise<T>): Promise<T> => {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
};
