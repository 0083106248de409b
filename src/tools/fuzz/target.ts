import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LoginSession } from '@contracts/people.ts';
import { loadConfig } from '@platform/config.ts';
import { Value } from '@sinclair/typebox/value';
import { processSettings } from '../../apps/settings.ts';
import { loadLocalSecrets, localLimits, startFleet, startSingleProcess } from '../fleet.ts';
import { type ReportProgress, removeOrphanedFolders, startPostgres, startServers } from '../servers/index.ts';
import type { SupervisedService } from '../supervisor.ts';
import type { SlowSenderOptions } from './campaign.ts';
import type { RoleTokens } from './cases.ts';

/** One process on embedded adapters, or the six on real servers. */
export const topologies = ['all', 'fleet'] as const;
export type Topology = (typeof topologies)[number];

/** The edge that is attacked. */
export interface FuzzTarget {
  url: string;
  operator: { email: string; password: string } | undefined;
  /** By process; one that has ended since the start is left out. */
  memoryBytes(): Record<string, number>;
  stop(): Promise<void>;
}

const folderPrefix = 'uitgo-fuzz-';
const password = 'correct horse battery';

/** Limits are another matter: they would answer nearly everything. */
export const fuzzLimits = {
  ...localLimits,
  LIMIT_AUTH_PER_MINUTE: '1000000',
  LIMIT_POSITION_PER_MINUTE: '1000000',
  LIMIT_READ_PER_MINUTE: '1000000',
  LIMIT_WRITE_PER_MINUTE: '1000000',
  LIMIT_REALTIME_PER_MINUTE: '1000000',
};

/** The edge's bounds by address, low enough to be met by one attacker. */
export const attackLimits = {
  ...fuzzLimits,
  LIMIT_READ_PER_MINUTE: '1200',
  LIMIT_REALTIME_PER_MINUTE: '600',
  CONNECTIONS_MAX: '2000',
  CONNECTIONS_PER_ADDRESS_MAX: '1000',
};
/** More connections than a gateway takes with these. */
export const idleConnections = 2_200;

/** A whole system of its own, gone at the end. */
export async function startFuzzTarget(
  topology: Topology,
  limits: Readonly<Record<string, string>>,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<FuzzTarget> {
  removeOrphanedFolders(tmpdir(), folderPrefix);
  const dir = mkdtempSync(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  chmodSync(dir, 0o755);
  const secrets = loadLocalSecrets(dir);
  const { url, services, stop } = await start[topology](dir, limits, say, signal);
  return {
    url,
    operator: { email: secrets.OPS_EMAIL, password: secrets.OPS_PASSWORD },
    memoryBytes: createMemoryReader(services),
    async stop() {
      await stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

interface Started {
  url: string;
  services: readonly SupervisedService[];
  stop(): Promise<unknown>;
}

const start: Record<
  Topology,
  (
    dir: string,
    limits: Readonly<Record<string, string>>,
    report: ReportProgress,
    signal: AbortSignal,
  ) => Promise<Started>
> = {
  async all(dir, limits, report, signal) {
    const { primary } = await startPostgres({
      dir: join(dir, 'postgres'),
      replica: false,
      ephemeral: true,
      signal,
      report,
    });
    const env = { ADAPTERS: 'embedded', DATABASE_URL: primary.url, ...limits };
    const service = await startSingleProcess({ dir, env, report });
    return {
      url: service.url,
      services: [service],
      stop: () => service.stop().then(() => primary.stop()),
    };
  },

  async fleet(dir, limits, report, signal) {
    const servers = await startServers({
      dir: join(dir, 'servers'),
      postgres: { replica: true },
      redis: true,
      rabbitmq: true,
      ephemeral: true,
      signal,
      report,
    });
    const fleet = await startFleet({
      dir,
      databaseUrl: servers.postgres?.url ?? '',
      databaseReplicaUrl: servers.postgresReplica?.url,
      geoRedisUrl: servers.geoRedis?.url ?? '',
      cacheRedisUrl: servers.cacheRedis?.url ?? '',
      amqpUrl: servers.rabbitmq?.url ?? '',
      port: undefined,
      env: limits,
      report,
    });
    return {
      url: fleet.url,
      services: Object.values(fleet.services),
      stop: () => fleet.stop().then(() => servers.stop()),
    };
  },
};

/** Looks at what the processes hold that run now. */
export function createMemoryReader(services: readonly SupervisedService[]): FuzzTarget['memoryBytes'] {
  const pids = services.map(({ name, pid }) => [name, pid()] as const);
  return () =>
    Object.fromEntries(
      pids.flatMap(([name, pid]) => {
        const bytes = residentBytes(pid);
        return bytes === undefined ? [] : [[name, bytes]];
      }),
    );
}

function residentBytes(pid: number | undefined): number | undefined {
  try {
    const kilobytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}

// A server looks at who is late now and then, and this machine has other things to do.
const latenessFactor = 1.5;

/** What slow senders may do, by the settings of the edge; undefined: who knows what it is. */
export const slowSenderBounds = (
  topology: Topology | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Omit<SlowSenderOptions, 'atOnce'> => ({
  heldMsMax: loadConfig(processSettings, env).REQUEST_TIMEOUT_MS * latenessFactor,
  afterCompleteRequest: topology === 'fleet',
});

/** A rider and a driver who have just registered, and the operator where there is one. */
export async function createRoleTokens({
  url,
  operator,
}: Pick<FuzzTarget, 'url' | 'operator'>): Promise<RoleTokens> {
  const register = (role: 'rider' | 'driver') => {
    const email = `fuzz-${role}-${crypto.randomUUID()}@example.com`;
    return tokenOf(url, '/v1/auth/register', { email, password, name: role, role });
  };
  return {
    rider: await register('rider'),
    driver: await register('driver'),
    ops: operator && (await tokenOf(url, '/v1/auth/login', operator)),
  };
}

async function tokenOf(url: string, path: string, body: object): Promise<string> {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer: unknown = await response.json();
  if (!Value.Check(LoginSession, answer)) throw new Error(`${path} answered ${response.status}`);
  return answer.tokens.accessToken;
}
