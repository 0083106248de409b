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

/** How the services are told of each server. */
const variables: Record<ServerName, string> = {
  postgres: 'DATABASE_URL',
  replica: 'DATABASE_REPLICA_URL',
  'redis-geo': 'GEO_REDIS_URL',
  'redis-cache': 'CACHE_REDIS_URL',
  rabbitmq: 'AMQP_URL',
};

/** Who talks to what: one proxy stands in each of these ways. */
export const servicesByServer: Record<ServerName, readonly ServiceName[]> = {
  postgres: ['user', 'driver', 'payment', 'trip'],
  replica: ['user', 'driver', 'payment', 'trip'],
  'redis-geo': ['driver', 'notification'],
  'redis-cache': ['payment', 'gateway'],
  rabbitmq: ['user', 'driver', 'payment', 'trip', 'notification'],
};

/** The whole system on servers of its own, with everything in reach that a fault may be done to. */
export interface TestBed {
  /** Of the edge. */
  url: string;
  fleet: Fleet;
  /** The operator's account. */
  operator: { email: string; password: string };
  server(name: ServerName): RunningServer;
  proxyBetween(service: ServiceName, server: ServerName): TcpProxy;
  /** A connection of the operator, past every proxy, with this schema first. */
  connectPrimary(schema?: string): postgres.Sql;
  connectReplica(): postgres.Sql;
  /** From now on what stands for the primary is the server that was the replica. */
  failOver(): void;
  stop(): Promise<void>;
}

const folderPrefix = 'uitgo-chaos-';

/** About 10 s. Data is durable while it runs and removed at the end. */
export async function startTestBed(options: {
  env: Readonly<Record<string, string>>;
  signal: AbortSignal;
  report: ReportProgress;
}): Promise<TestBed> {
  const dir = makeFolder();
  const forget = () => rmSync(dir, { recursive: true, force: true });
  const servers = await startServers({
    dir: join(dir, 'servers'),
    postgres: { replica: true },
    redis: true,
    rabbitmq: true,
    // Not ephemeral: what is acknowledged has to outlive a kill of the server as it would in earnest.
    ephemeral: false,
    signal: options.signal,
    report: options.report,
  }).catch((error: unknown) => {
    forget();
    throw error;
  });
  const running = runningServers(servers);
  const links = await openLinks(running);
  const opened: postgres.Sql[] = [];
  const closeServers = async () => {
    await Promise.all(opened.map((sql) => sql.end({ timeout: 1 })));
    await Promise.all([...links.values()].map((proxy) => proxy.close()));
    await servers.stop();
    forget();
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
    envOf: (service) => proxied(service, running, links),
    report: options.report,
  }).catch(async (error: unknown) => {
    await closeServers();
    throw error;
  });

  const open = (url: string, schema: string) => {
    const connection = { search_path: `"${schema}"`, application_name: 'chaos' };
    const sql = postgres(url, { max: 2, connection, onnotice: () => undefined });
    opened.push(sql);
    return sql;
  };
  let primaryUrl = running.postgres.url;
  return {
    url: fleet.url,
    fleet,
    operator: operatorOf(loadLocalSecrets(dir)),
    server: (name) => running[name],
    proxyBetween(service, server) {
      const proxy = links.get(linkName(service, server));
      if (proxy === undefined) throw new Error(`${service} does not talk to ${server}`);
      return proxy;
    },
    connectPrimary: (schema = 'public') => open(primaryUrl, schema),
    connectReplica: () => open(running.replica.url, 'public'),
    failOver() {
      primaryUrl = running.replica.url;
      for (const service of servicesByServer.postgres)
        links.get(linkName(service, 'postgres'))?.switchTarget(running.replica.url);
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
  const there = (server: RunningServer | undefined): RunningServer => {
    if (server === undefined) throw new Error('a server was not started');
    return server;
  };
  return {
    postgres: there(servers.postgres),
    replica: there(servers.postgresReplica),
    'redis-geo': there(servers.geoRedis),
    'redis-cache': there(servers.cacheRedis),
    rabbitmq: there(servers.rabbitmq),
  };
}

const linkName = (service: ServiceName, server: ServerName) => `${service}-${server}`;

async function openLinks(running: Record<ServerName, RunningServer>): Promise<Map<string, TcpProxy>> {
  const links = new Map<string, TcpProxy>();
  for (const server of serverNames)
    for (const service of servicesByServer[server])
      links.set(linkName(service, server), await createTcpProxy(running[server].url));
  return links;
}

function proxied(
  service: ServiceName,
  running: Record<ServerName, RunningServer>,
  links: ReadonlyMap<string, TcpProxy>,
): Record<string, string> {
  const env: Record<string, string> = {};
  for (const server of serverNames) {
    const proxy = links.get(linkName(service, server));
    if (proxy !== undefined) env[variables[server]] = proxy.rewriteUrl(running[server].url);
  }
  return env;
}

export { type ServiceName, serviceNames };
