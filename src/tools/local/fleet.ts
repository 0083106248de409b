import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findFreePort } from '../servers/ports.ts';
import type { ReportProgress } from '../servers/types.ts';
import { type SupervisedService, supervise } from './supervisor.ts';

export const serviceNames = ['user', 'driver', 'payment', 'trip', 'notification', 'gateway'] as const;
export type ServiceName = (typeof serviceNames)[number];
/** All processes of a deployment: one for each service, or all services in one. */
export const processNames = [...serviceNames, 'all'] as const;
export type ProcessName = (typeof processNames)[number];

export interface FleetOptions {
  /** Folder for logs and secrets. */
  dir: string;
  databaseUrl: string;
  databaseReplicaUrl: string | undefined;
  geoRedisUrl: string;
  cacheRedisUrl: string;
  amqpUrl: string;
  /** The port of the edge; a free one if undefined. */
  port: number | undefined;
  /** Additional environment variables for every service. */
  env: Readonly<Record<string, string>>;
  /** The folder of the executables built by `bun run build`; the sources run if unset. */
  executables?: string | undefined;
  /** Environment variables for one service, such as its own address of a server. */
  envOf?: (service: ServiceName) => Readonly<Record<string, string>>;
  report: ReportProgress;
}

export interface Fleet {
  /** The URL of the edge. */
  url: string;
  services: Readonly<Record<ServiceName, SupervisedService>>;
  stop(): Promise<void>;
}

const root = join(import.meta.dir, '../../..');

/** Starts the six services as separate processes, each of which is restarted when it exits. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const ports = {} as Record<ServiceName, number>;
  for (const name of serviceNames) ports[name] = await findFreePort();
  if (options.port !== undefined) ports.gateway = options.port;
  const urlOf = (name: ServiceName) => `http://127.0.0.1:${ports[name]}`;
  const shared = sharedEnvironment(options, urlOf);

  const started: SupervisedService[] = [];
  const stop = async () => {
    // The edge stops first, so that no request reaches a stopped service.
    await started.find(({ name }) => name === 'gateway')?.stop();
    await Promise.all(started.map((service) => service.stop()));
  };
  const results = await Promise.allSettled(
    serviceNames.map(async (name) => {
      const service = await supervise(
        {
          name,
          command: processCommand(name, options.executables),
          cwd: root,
          env: { ...shared, ...options.envOf?.(name), PORT: String(ports[name]) },
          logFile: join(options.dir, 'logs', `${name}.log`),
          readyUrl: `${urlOf(name)}/readyz`,
        },
        options.report,
      );
      started.push(service);
      options.report(`${name} is ready`);
    }),
  );
  const failure = results.find((result) => result.status === 'rejected');
  if (failure !== undefined) {
    await stop();
    throw failure.reason;
  }
  const services = Object.fromEntries(started.map((service) => [service.name, service])) as Fleet['services'];
  return { url: urlOf('gateway'), services, stop };
}

/** Starts the whole system as one process on the servers in `env`; it logs to a file in `dir`. */
export async function startSingleProcess({
  dir,
  env,
  report,
  executables,
}: Pick<FleetOptions, 'dir' | 'env' | 'report' | 'executables'>): Promise<SupervisedService> {
  const port = await findFreePort();
  return supervise(
    {
      name: 'all',
      command: processCommand('all', executables),
      cwd: root,
      env: { ...baseEnvironment(dir), ...env, PORT: String(port) },
      logFile: join(dir, 'logs', 'all.log'),
      readyUrl: `http://127.0.0.1:${port}/readyz`,
    },
    report,
  );
}

/** The path of the executable of a process, as written by `bun run build`. */
export const executablePath = (folder: string, name: ProcessName): string => join(folder, `uit-go-${name}`);

/** The command that starts a process: its executable in this folder, or its source. */
export const processCommand = (name: ProcessName, executables: string | undefined): string[] =>
  executables === undefined
    ? [process.execPath, join(root, 'src/apps', `${name}.ts`)]
    : [executablePath(executables, name)];

/** The environment of every process of a local deployment. */
const baseEnvironment = (dir: string): Record<string, string> => ({
  PATH: process.env.PATH ?? '',
  HOST: '127.0.0.1',
  LOG_LEVEL: 'warn',
  ...loadLocalSecrets(dir),
  ...localLimits,
});

function sharedEnvironment(
  options: FleetOptions,
  urlOf: (name: ServiceName) => string,
): Record<string, string> {
  const urls = serviceNames
    .filter((name) => name !== 'gateway')
    .map((name) => [`${name.toUpperCase()}_URL`, urlOf(name)]);
  return {
    ...baseEnvironment(options.dir),
    DATABASE_URL: options.databaseUrl,
    ...(options.databaseReplicaUrl === undefined ? {} : { DATABASE_REPLICA_URL: options.databaseReplicaUrl }),
    // Four services share one small server; 4 × 24 connections leave room for operators.
    DATABASE_POOL_MAX: '24',
    GEO_REDIS_URL: options.geoRedisUrl,
    CACHE_REDIS_URL: options.cacheRedisUrl,
    AMQP_URL: options.amqpUrl,
    ...Object.fromEntries(urls),
    ...options.env,
  };
}

/** Limits for a simulated city, whose people share one address and whose clock runs faster than real time. */
export const localLimits: Readonly<Record<string, string>> = {
  LIMIT_AUTH_PER_MINUTE: '60000',
  LIMIT_REALTIME_PER_MINUTE: '60000',
  CONNECTIONS_PER_ADDRESS_MAX: '0',
  POSITION_SPEED_METRES_PER_SECOND_MAX: '100000',
};

export interface LocalSecrets extends Record<string, string> {
  SERVICE_TOKEN: string;
  SIGNING_KEY_SECRET: string;
  /** The operator's account, which is created at start. */
  OPS_EMAIL: string;
  OPS_PASSWORD: string;
}

const operatorEmail = 'ops@uitgo.local';

/** The file in which `loadLocalSecrets` stores the secrets. */
export const secretsPath = (dir: string): string => join(dir, 'secrets.json');

/**
 * Loads the secrets of a local deployment. They are created once, readable by the owner only, and stay the same over
 * restarts. An operator from the environment (OPS_EMAIL, OPS_PASSWORD) has precedence.
 */
export function loadLocalSecrets(dir: string): LocalSecrets {
  const file = secretsPath(dir);
  const stored: Record<string, string> = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  const generateSecret = () => Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex');
  const { OPS_EMAIL, OPS_PASSWORD } = process.env;
  const secrets: LocalSecrets = {
    SERVICE_TOKEN: stored.SERVICE_TOKEN ?? generateSecret(),
    SIGNING_KEY_SECRET: stored.SIGNING_KEY_SECRET ?? generateSecret(),
    ...(OPS_EMAIL && OPS_PASSWORD
      ? { OPS_EMAIL, OPS_PASSWORD }
      : {
          OPS_EMAIL: stored.OPS_EMAIL ?? operatorEmail,
          OPS_PASSWORD: stored.OPS_PASSWORD ?? generateSecret(),
        }),
  };
  mkdirSync(dir, { recursive: true });
  writeFileSync(file, JSON.stringify(secrets), { mode: 0o600 });
  return secrets;
}
