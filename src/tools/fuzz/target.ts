import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LoginSession } from '@contracts/people.ts';
import { loadConfig } from '@platform/config.ts';
import { Value } from '@sinclair/typebox/value';
import { processSettings } from '../../apps/settings.ts';
import { loadLocalSecrets, localLimits, startFleet, startSingleProcess } from '../local/fleet.ts';
import type { SupervisedService } from '../local/supervisor.ts';
import { type ReportProgress, removeOrphanedFolders, startPostgres, startServers } from '../servers/index.ts';
import type { SlowSenderOptions } from './campaign.ts';
import type { RoleTokens } from './case.ts';

/** One process with embedded adapters, or six processes on real servers. */
export const topologies = ['all', 'fleet'] as const;
export type Topology = (typeof topologies)[number];

/** The system under test, reached through its edge. */
export interface FuzzTarget {
  url: string;
  operator: { email: string; password: string } | undefined;
  /** Memory by process; processes that have ended are left out. */
  memoryBytes(): Record<string, number>;
  stop(): Promise<void>;
}

const folderPrefix = 'uitgo-fuzz-';
const password = 'correct horse battery';

/** Raised limits, since the defaults would reject nearly every request. */
export const fuzzLimits = {
  ...localLimits,
  LIMIT_AUTH_PER_MINUTE: '1000000',
  LIMIT_POSITION_PER_MINUTE: '1000000',
  LIMIT_READ_PER_MINUTE: '1000000',
  LIMIT_WRITE_PER_MINUTE: '1000000',
  LIMIT_REALTIME_PER_MINUTE: '1000000',
};

/** Limits per address that are low enough for one attacker to reach. */
export const attackLimits = {
  ...fuzzLimits,
  LIMIT_READ_PER_MINUTE: '1200',
  LIMIT_REALTIME_PER_MINUTE: '600',
  CONNECTIONS_MAX: '2000',
  CONNECTIONS_PER_ADDRESS_MAX: '1000',
};
/** More connections than a gateway accepts with `attackLimits`. */
export const idleConnections = 2_200;

/** Starts a separate system that is removed at the end. */
export async function startFuzzTarget(
  topology: Topology,
  limits: Readonly<Record<string, string>>,
  reportProgress: (line: string) => void,
  signal: AbortSignal,
): Promise<FuzzTarget> {
  removeOrphanedFolders(tmpdir(), folderPrefix);
  const dir = mkdtempSync(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  chmodSync(dir, 0o755);
  const secrets = loadLocalSecrets(dir);
  const { url, services, stop } = await startByTopology[topology](dir, limits, reportProgress, signal);
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

interface StartedSystem {
  url: string;
  services: readonly SupervisedService[];
  stop(): Promise<unknown>;
}

const startByTopology: Record<
  Topology,
  (
    dir: string,
    limits: Readonly<Record<string, string>>,
    report: ReportProgress,
    signal: AbortSignal,
  ) => Promise<StartedSystem>
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

/** Returns a function that reads the resident memory of the running processes. */
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

// Servers check for timeouts periodically, and the machine is busy with other work.
const latenessFactor = 1.5;

/** The bounds for slow senders according to the settings of the edge; `undefined` stands for an unknown edge. */
export const slowSenderBounds = (
  topology: Topology | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Omit<SlowSenderOptions, 'atOnce'> => ({
  heldMsMax: loadConfig(processSettings, env).REQUEST_TIMEOUT_MS * latenessFactor,
  afterCompleteRequest: topology === 'fleet',
});

/** Registers a rider and a driver, and signs in the operator if there is one. */
export async function createRoleTokens({
  url,
  operator,
}: Pick<FuzzTarget, 'url' | 'operator'>): Promise<RoleTokens> {
  const register = (role: 'rider' | 'driver') => {
    const email = `fuzz-${role}-${crypto.randomUUID()}@example.com`;
    return requestToken(url, '/v1/auth/register', { email, password, name: role, role });
  };
  return {
    rider: await register('rider'),
    driver: await register('driver'),
    ops: operator && (await requestToken(url, '/v1/auth/login', operator)),
  };
}

async function requestToken(url: string, path: string, body: object): Promise<string> {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer: unknown = await response.json();
  if (!Value.Check(LoginSession, answer)) throw new Error(`${path} answered ${response.status}`);
  return answer.tokens.accessToken;
}
