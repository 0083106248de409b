import type { Log } from '../log.ts';
import platformSql from './0000_platform.sql' with { type: 'text' };
import eventsSql from './0000_platform_events.sql' with { type: 'text' };
import type { Database, Sql } from './database.ts';

/** A forward-only migration. Its name determines the order, and its text never changes once it has run anywhere. */
export interface Migration {
  name: string;
  sql: string;
}

const platform: readonly Migration[] = [
  { name: '0000_platform', sql: platformSql },
  { name: '0000_platform_events', sql: eventsSql },
];

/**
 * Migrates the schema of a context: first the platform's tables (outbox, inbox, idempotency keys), then the context's
 * own migrations. Instances that start at the same time wait for each other on an advisory lock. Throws when the text
 * of a migration was changed after it ran.
 */
export async function migrate(database: Database, migrations: readonly Migration[], log: Log): Promise<void> {
  const connection = await database.primary.reserve();
  const lock = `uit-go:migrate:${database.schema}`;
  try {
    await connection`select pg_advisory_lock(hashtextextended(${lock}, 0))`;
    await connection.unsafe(`create schema if not exists "${database.schema}"`);
    await connection`create table if not exists migrations (name text primary key, hash text not null)`;
    const rows = await connection<{ name: string; hash: string }[]>`select name, hash from migrations`;
    const hashByName = new Map(rows.map((row) => [row.name, row.hash]));
    for (const migration of [...platform, ...migrations]) {
      const hash = new Bun.CryptoHasher('sha256').update(migration.sql).digest('hex');
      if (hashByName.get(migration.name) === hash) continue;
      if (hashByName.has(migration.name))
        throw new Error(`${database.schema}: migration ${migration.name} was changed after it ran`);
      await run(connection, migration, hash);
      log.info({ schema: database.schema, migration: migration.name }, 'ran migration');
    }
  } finally {
    await connection`select pg_advisory_unlock(hashtextextended(${lock}, 0))`.catch(() => undefined);
    connection.release();
  }
}

/** Begins and commits by hand on a reserved connection, since `sql.begin` may interleave statements of other callers (postgres.js #1189). */
async function run(connection: Sql, { name, sql }: Migration, hash: string): Promise<void> {
  await connection`begin`;
  try {
    await connection.unsafe(sql);
    await connection`insert into migrations (name, hash) values (${name}, ${hash})`;
    await connection`commit`;
  } catch (error) {
    await connection`rollback`;
    throw new Error(`migration ${name} failed`, { cause: error });
  }
}
