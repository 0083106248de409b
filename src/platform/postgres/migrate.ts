import type { Log } from '../log.ts';
import platformSql from './0000_platform.sql' with { type: 'text' };
import eventsSql from './0000_platform_events.sql' with { type: 'text' };
import type { Database, Sql } from './database.ts';

/** A forward-only step: its name decides the order, its text never changes once it has run somewhere. */
export interface Migration {
  name: string;
  sql: string;
}

const platform: readonly Migration[] = [
  { name: '0000_platform', sql: platformSql },
  { name: '0000_platform_events', sql: eventsSql },
];

/**
 * Brings the context's schema up to date: the platform's tables (outbox, inbox, idempotency keys)
 * first, then the context's own migrations. Instances that start together wait for one another on an
 * advisory lock. Throws when a migration that has run reads differently now.
 */
export async function migrate(database: Database, migrations: readonly Migration[], log: Log): Promise<void> {
  const connection = await database.primary.reserve();
  const lock = `uit-go:migrate:${database.schema}`;
  try {
    await connection`select pg_advisory_lock(hashtextextended(${lock}, 0))`;
    await connection.unsafe(`create schema if not exists "${database.schema}"`);
    await connection`create table if not exists migrations (name text primary key, hash text not null)`;
    const rows = await connection<{ name: string; hash: string }[]>`select name, hash from migrations`;
    const ran = new Map(rows.map((row) => [row.name, row.hash]));
    for (const migration of [...platform, ...migrations]) {
      const hash = new Bun.CryptoHasher('sha256').update(migration.sql).digest('hex');
      if (ran.get(migration.name) === hash) continue;
      if (ran.has(migration.name))
        throw new Error(`${database.schema}: migration ${migration.name} was changed after it ran`);
      await run(connection, migration, hash);
      log.info({ schema: database.schema, migration: migration.name }, 'migrated');
    }
  } finally {
    await connection`select pg_advisory_unlock(hashtextextended(${lock}, 0))`.catch(() => undefined);
    connection.release();
  }
}

/** By hand on a reserved connection: `sql.begin` can let other callers' statements in between (postgres.js #1189). */
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
