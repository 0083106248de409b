import { migrations as driverMigrations } from '@modules/driver/migrations/index.ts';
import { migrations as paymentMigrations } from '@modules/payment/migrations/index.ts';
import { tripMigrations } from '@modules/trip/migrations/index.ts';
import type { Log } from '@platform/log.ts';
import { createDatabase } from '@platform/postgres/database.ts';
import { migrate } from '@platform/postgres/migrate.ts';
import type { Databases } from './instances.ts';
import { type PlantedBug, plantedBugs } from './planted-bugs.ts';

const migrationsOf = { trip: tripMigrations, driver: driverMigrations, payment: paymentMigrations };

export interface OpenedDatabases extends Databases {
  close(): Promise<void>;
}

/** Opens the migrated schemas of all contexts in the database at `url`, with one connection each. Runs use them one after another. */
export async function openDatabases(url: string, log: Log, planted?: PlantedBug): Promise<OpenedDatabases> {
  const open = (schema: 'trip' | 'driver' | 'payment') =>
    createDatabase({ url, schema, poolMax: 1, statementTimeoutMs: 10_000, log });
  const databases = { trip: open('trip'), driver: open('driver'), payment: open('payment') };
  for (const database of Object.values(databases))
    await migrate(database, migrationsOf[database.schema as keyof typeof migrationsOf], log);
  const schemaChange = planted === undefined ? undefined : plantedBugs[planted].paymentSchema;
  if (schemaChange !== undefined) await databases.payment.primary.unsafe(schemaChange);
  return {
    ...databases,
    async close() {
      await Promise.all(Object.values(databases).map((database) => database.close()));
    },
  };
}

/** Creates a database for each lane on the server at `url`. */
export async function openLanes(url: string, log: Log, count: number): Promise<OpenedDatabases[]> {
  const server = createDatabase({ url, schema: 'public', poolMax: 1, statementTimeoutMs: 10_000, log });
  const lanes: OpenedDatabases[] = [];
  for (let lane = 1; lane <= count; lane++) {
    const laneUrl = new URL(url);
    laneUrl.pathname = `/lane_${lane}`;
    await server.primary.unsafe(`create database lane_${lane}`);
    lanes.push(await openDatabases(laneUrl.href, log));
  }
  await server.close();
  return lanes;
}

/** Restores the state after the migrations: every run starts with empty tables. */
export async function truncateDatabases(databases: Databases): Promise<void> {
  for (const { primary: sql, schema } of [databases.trip, databases.driver, databases.payment]) {
    const tables = await sql<{ name: string }[]>`
      select quote_ident(tablename) as name from pg_tables
      where schemaname = ${schema} and tablename not in ('migrations', 'outbox_lease') order by 1`;
    await sql.unsafe(`truncate ${tables.map(({ name }) => name).join(', ')} restart identity`);
    await sql`update outbox_lease set holder = null, until_ms = 0, turn = 0`;
  }
}
