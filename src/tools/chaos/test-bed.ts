import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { createTcpProxy, type TcpProxy } from '../faults/tcp-proxy.ts';
import {
  type Fleet,
  type LocalSecrets,
  loadLocalSecrets,
  type ServiceName,
  serviceNames,
  startFleet,
} from '../local/fleet.ts';
import {
  type ReportProgress,
  type RunningServer,
  removeOrphanedFolders,
  type Servers,
  startServers,
} from '../servers/index.ts';

export const serverNames = ['postgres', 'replica', 'redis-geo', 'redis-cache', 'rabbitmq'] as const;
export type ServerName = (typeof serverNames)[number];

/** The setting that holds the address of each server. */
const addressSettings: Record<ServerName, string> = {
  postgres: 'DATABASE_URL',
  replica: 'DATABASE_REPLICA_URL',
  'redis-geo': 'GEO_REDIS_URL',
  'redis-cache': 'CACHE_REDIS_URL',
  rabbitmq: 'AMQP_URL',
};

/** The services that connect to each server. Each of these connections goes through its own proxy. */
export const servicesByServer: Record<ServerName, readonly ServiceName[]> = {
  postgres: ['user', 'driver', 'payment', 'trip'],
  replica: ['user', 'driver', 'payment', 'trip'],
  'redis-geo': ['driver', 'notification'],
  'redis-cache': ['payment', 'gateway'],
  rabbitmq: ['user', 'driver', 'payment', 'trip', 'notification'],
};

/** The whole system on its own servers, with access to everything that faults are injected into. */
export interface TestBed {
  /** The URL of the edge. */
  url: string;
  fleet: Fleet;
  /** The operator's account. */
  operator: { email: string; password: string };
  server(name: ServerName): RunningServer;
  proxyBetween(service: ServiceName, server: ServerName): TcpProxy;
  /** A direct connection to the primary, not through a proxy, with this schema first in the search path. */
  connectPrimary(schema?: string): postgres.Sql;
  connectReplica(): postgres.Sql;
  /** From now on the former replica takes the place of the primary. */
  failOver(): void;
  stop(): Promise<void>;
}

const folderPrefix = 'uitgo-chaos-';

/** Takes about 10 s. Data is durable while it runs and removed at the end. */
export async function startTestBed(options: {
  env: Readonly<Record<string, string>>;
  signal: AbortSignal;
  report: ReportProgress;
}): Promise<TestBed> {
  const dir = makeFolder();
  const removeFolder = () => rmSync(dir, { recursive: true, force: true });
  const servers = await startServers({
    dir: join(dir, 'servers'),
    postgres: { replica: true },
    redis: true,
    rabbitmq: true,
    // Not ephemeral, because acknowledged data must survive a killed server as in production.
    ephemeral: false,
    signal: options.signal,
    report: options.report,
  }).catch((error: unknown) => {
    removeFolder();
    throw error;
  });
  const running = runningServers(servers);
  const proxies = await startProxies(running);
  const connections: postgres.Sql[] = [];
  const closeServers = async () => {
    await Promise.all(connections.map((sql) => sql.end({ timeout: 1 })));
    await Promise.all([...proxies.values()].map((proxy) => proxy.close()));
    await servers.stop();
    removeFolder();
  };
  const fleet = await startFleet({
    dir,
    databaseUrl: running.postgres.url,
    databaseReplicaUrl: running.replica.url,
    geoRedisUrl: running['redis-geo'].url,
    cacheRedisUrl: running['redis-cache'].url,
    amqpUrl: running.rabbitmq.url,
    port: undefined,
    env: options.env,
    envOf: (service) => proxiedSettings(service, running, proxies),
    report: options.report,
  }).catch(async (error: unknown) => {
    await closeServers();
    throw error;
  });

  const connect = (url: string, schema: string) => {
    const connection = { search_path: `"${schema}"`, application_name: 'chaos' };
    const sql = postgres(url, { max: 2, connection, onnotice: () => undefined });
    connections.push(sql);
    return sql;
  };
  let primaryUrl = running.postgres.url;
  return {
    url: fleet.url,
    fleet,
    operator: operatorOf(loadLocalSecrets(dir)),
    server: (name) => running[name],
    proxyBetween(service, server) {
      const proxy = proxies.get(proxyName(service, server));
      if (proxy === undefined) throw new Error(`${service} does not connect to ${server}`);
      return proxy;
    },
    connectPrimary: (schema = 'public') => connect(primaryUrl, schema),
    connectReplica: () => connect(running.replica.url, 'public'),
    failOver() {
      primaryUrl = running.replica.url;
      for (const service of servicesByServer.postgres)
        proxies.get(proxyName(service, 'postgres'))?.switchTarget(running.replica.url);
    },
    async stop() {
      await fleet.stop();
      await closeServers();
    },
  };
}

const operatorOf = ({ OPS_EMAIL, OPS_PASSWORD }: LocalSecrets) => ({
  email: OPS_EMAIL,
  password: OPS_PASSWORD,
});

function makeFolder(): string {
  removeOrphanedFolders(tmpdir(), folderPrefix);
  const dir = mkdtempSync(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  chmodSync(dir, 0o755);
  return dir;
}

function runningServers(servers: Servers): Record<ServerName, RunningServer> {
  const required = (server: RunningServer | undefined): RunningServer => {
    if (server === undefined) throw new Error('a server was not started');
    return server;
  };
  return {
    postgres: required(servers.postgres),
    replica: required(servers.postgresReplica),
    'redis-geo': required(servers.geoRedis),
    'redis-cache': required(servers.cacheRedis),
    rabbitmq: required(servers.rabbitmq),
  };
}

const proxyName = (service: ServiceName, server: ServerName) => `${service}-${server}`;

async function startProxies(running: Record<ServerName, RunningServer>): Promise<Map<string, TcpProxy>> {
  const proxies = new Map<string, TcpProxy>();
  for (const server of serverNames)
    for (const service of servicesByServer[server])
      proxies.set(proxyName(service, server), await createTcpProxy(running[server].url));
  return proxies;
}

function proxiedSettings(
  service: ServiceName,
  running: Record<ServerName, RunningServer>,
  proxies: ReadonlyMap<string, TcpProxy>,
): Record<string, string> {
  const env: Record<string, string> = {};
  for (const server of serverNames) {
    const proxy = proxies.get(proxyName(service, server));
    if (proxy !== undefined) env[addressSettings[server]] = proxy.rewriteUrl(running[server].url);
  }
  return env;
}

export { type ServiceName, serviceNames };
