import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { startAll } from '../apps/all.ts';
import type { Environment } from '../apps/process.ts';
import { type Fleet, localLimits, localSecrets, startFleet } from '../cli/fleet.ts';
import { createTestDatabase } from './postgres.ts';
import { testServers } from './servers.ts';

/** The ways the system runs, by name. */
export const topologies = ['one process, embedded adapters', 'one process, real adapters', 'fleet'] as const;
export type TopologyName = (typeof topologies)[number];

export interface RunningSystem {
  /** Of the edge. */
  url: string;
  /** For looking at what was stored: all schemas of its own database. */
  sql: postgres.Sql;
  /** The same database as a context sees it. */
  schema(name: string): postgres.Sql;
  /** The processes of a fleet, to be killed. */
  fleet: Fleet | undefined;
  /** Secrets, and a fleet's logs in `logs/`; one process logs to the stdout of the tests. */
  dir: string;
  stop(): Promise<void>;
}

export const opsEmail = 'ops@example.com';
export const opsPassword = 'operators only please';

let started = 0;

/** The whole system on a database and a namespace of its own. `env` overrides settings. */
export async function startSystem(name: TopologyName, env: Environment = {}): Promise<RunningSystem> {
  const servers = testServers();
  const database = await createTestDatabase();
  const dir = mkdtempSync(join(tmpdir(), 'uitgo-system-'));
  const settings = {
    ...localLimits,
    ...localSecrets(dir),
    LOG_LEVEL: 'error',
    HOST: '127.0.0.1',
    PORT: '0',
    NAMESPACE: `t${process.pid}x${++started}`,
    DATABASE_URL: database.url,
    DATABASE_POOL_MAX: '8',
    OPS_EMAIL: opsEmail,
    OPS_PASSWORD: opsPassword,
    ...env,
  };
  const real = {
    DATABASE_REPLICA_URL: database.replicaUrl,
    GEO_REDIS_URL: servers.geoRedis,
    CACHE_REDIS_URL: servers.cacheRedis,
    AMQP_URL: servers.amqp,
  };
  const opened: postgres.Sql[] = [];
  const open = (searchPath: string) => {
    const sql = postgres(database.url, {
      max: 2,
      connection: { search_path: searchPath },
      onnotice: () => undefined,
    });
    opened.push(sql);
    return sql;
  };
  const system = await start();
  return {
    ...system,
    sql: open('public'),
    schema: open,
    dir,
    async stop() {
      await system.stop();
      await Promise.all(opened.map((sql) => sql.end()));
      await database.drop();
      rmSync(dir, { recursive: true, force: true });
    },
  };

  async function start(): Promise<{ url: string; fleet: Fleet | undefined; stop(): Promise<void> }> {
    if (name === 'fleet') {
      const { PORT: _, ...fleetSettings } = settings;
      const fleet = await startFleet({
        dir,
        databaseUrl: database.url,
        databaseReplicaUrl: database.replicaUrl,
        geoRedisUrl: servers.geoRedis,
        cacheRedisUrl: servers.cacheRedis,
        amqpUrl: servers.amqp,
        port: undefined,
        env: Object.fromEntries(Object.entries(fleetSettings).map(([key, value]) => [key, value ?? ''])),
        report: () => undefined,
      });
      return { url: fleet.url, fleet, stop: fleet.stop };
    }
    const adapters = name === 'one process, embedded adapters' ? { ADAPTERS: 'embedded' } : real;
    const system = await startAll({ ...settings, ...adapters, ...env });
    return { url: system.url, fleet: undefined, stop: system.stop };
  }
}
