import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { startAll } from '../apps/all.ts';
import type { Environment } from '../apps/process.ts';
import {
  type Fleet,
  loadLocalSecrets,
  localLimits,
  startFleet,
  startSingleProcess,
} from '../tools/local/fleet.ts';
import type { SupervisedService } from '../tools/local/supervisor.ts';
import { createTestDatabase } from './postgres.ts';
import { testServers } from './servers.ts';

/** The topologies in which the system runs. */
export const topologies = ['one process, embedded adapters', 'one process, real adapters', 'fleet'] as const;
export type TopologyName = (typeof topologies)[number];

export interface RunningSystem {
  /** The URL of the edge. */
  url: string;
  /** Queries the system's own database, with access to all schemas. */
  sql: postgres.Sql;
  /** Queries the same database with the search path of one context. */
  schema(name: string): postgres.Sql;
  /** The processes of a fleet, so that tests can kill them. */
  fleet: Fleet | undefined;
  /** All processes other than this one. */
  services: readonly SupervisedService[];
  /** The folder with the secrets; the logs of all processes other than this one are in `logs/`. */
  dir: string;
  stop(): Promise<void>;
}

export const opsEmail = 'ops@example.com';
export const opsPassword = 'operators only please';

let startCount = 0;

/**
 * Starts the whole system on its own database and namespace. `env` overrides settings. A single-process topology
 * runs in the test process, where it starts sooner. A test that needs its log or its memory runs it apart.
 */
export async function startSystem(
  name: TopologyName,
  env: Environment = {},
  where: 'here' | 'apart' = 'here',
  /** The folder of executables to run instead of the sources. Applies only to separate processes. */
  executables?: string,
): Promise<RunningSystem> {
  const servers = testServers();
  const database = await createTestDatabase();
  const dir = mkdtempSync(join(tmpdir(), 'uitgo-system-'));
  const settings = {
    ...localLimits,
    ...loadLocalSecrets(dir),
    LOG_LEVEL: 'error',
    HOST: '127.0.0.1',
    PORT: '0',
    NAMESPACE: `t${process.pid}x${++startCount}`,
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
  const connections: postgres.Sql[] = [];
  const connect = (searchPath: string) => {
    const sql = postgres(database.url, {
      max: 2,
      connection: { search_path: searchPath },
      onnotice: () => undefined,
    });
    connections.push(sql);
    return sql;
  };
  const system = await start();
  return {
    ...system,
    sql: connect('public'),
    schema: connect,
    dir,
    async stop() {
      await system.stop();
      await Promise.all(connections.map((sql) => sql.end()));
      await database.drop();
      rmSync(dir, { recursive: true, force: true });
    },
  };

  async function start(): Promise<Pick<RunningSystem, 'url' | 'fleet' | 'services' | 'stop'>> {
    const { PORT: _, ...apart } = settings;
    if (name === 'fleet') {
      const fleet = await startFleet({
        dir,
        databaseUrl: database.url,
        databaseReplicaUrl: database.replicaUrl,
        geoRedisUrl: servers.geoRedis,
        cacheRedisUrl: servers.cacheRedis,
        amqpUrl: servers.amqp,
        port: undefined,
        executables,
        env: toDefinedEnvironment(apart),
        report: () => undefined,
      });
      return { url: fleet.url, fleet, services: Object.values(fleet.services), stop: fleet.stop };
    }
    const adapters = name === 'one process, embedded adapters' ? { ADAPTERS: 'embedded' } : real;
    if (where === 'apart') {
      const service = await startSingleProcess({
        dir,
        env: toDefinedEnvironment({ ...apart, ...adapters }),
        executables,
        report: () => undefined,
      });
      return { url: service.url, fleet: undefined, services: [service], stop: service.stop };
    }
    const system = await startAll({ ...settings, ...adapters, ...env });
    return { url: system.url, fleet: undefined, services: [], stop: system.stop };
  }
}

const toDefinedEnvironment = (env: Environment): Record<string, string> =>
  Object.fromEntries(Object.entries(env).map(([key, value]) => [key, value ?? '']));
