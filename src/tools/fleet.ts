import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findFreePort } from './servers/ports.ts';
import type { ReportProgress } from './servers/types.ts';
import { type SupervisedService, supervise } from './supervisor.ts';

export const serviceNames = ['user', 'driver', 'payment', 'trip', 'notification', 'gateway'] as const;
export type ServiceName = (typeof serviceNames)[number];
/** Every process that a deployment may consist of: one for each service, or all of them in one. */
export const processNames = [...serviceNames, 'all'] as const;
export type ProcessName = (typeof processNames)[number];

export interface FleetOptions {
  /** Where logs and secrets are kept. */
  dir: string;
  databaseUrl: string;
  databaseReplicaUrl: string | undefined;
  geoRedisUrl: string;
  cacheRedisUrl: string;
  amqpUrl: string;
  /** Of the edge; undefined takes a free one. */
  port: number | undefined;
  /** Overrides and additions for every service. */
  env: Readonly<Record<string, string>>;
  /** The folder of the executables that `bun run build` made; without it the sources run. */
  executables?: string | undefined;
  /** Overrides for one service: its own way to a server. */
  envOf?: (service: ServiceName) => Readonly<Record<string, string>>;
  report: ReportProgress;
}

export interface Fleet {
  /** Of the edge. */
  url: string;
  services: Readonly<Record<ServiceName, SupervisedService>>;
  stop(): Promise<void>;
}

const root = join(import.meta.dir, '../..');

/** Starts the six services as processes of their own, each started again when it ends. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const ports = {} as Record<ServiceName, number>;
  for (const name of serviceNames) ports[name] = await findFreePort();
  if (options.port !== undefined) ports.gateway = options.port;
  const urlOf = (name: ServiceName) => `http://127.0.0.1:${ports[name]}`;
  const shared = sharedEnvironment(options, urlOf);

  const started: SupervisedService[] = [];
  const stop = async () => {
    // The edge first: no request may find the services behind it gone.
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

/** The whole system as one process of its own, on the servers that `env` names; it logs to a file in `dir`. */
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
      env: { ...everyEnvironment(dir), ...env, PORT: String(port) },
      logFile: join(dir, 'logs', 'all.log'),
      readyUrl: `http://127.0.0.1:${port}/readyz`,
    },
    report,
  );
}

/** Where `bun run build` puts the executable of a process. */
export const executablePath = (folder: string, name: ProcessName): string => join(folder, `uit-go-${name}`);

/** What starts a process: its executable in this folder, else its source. */
export const processCommand = (name: ProcessName, executables: string | undefined): string[] =>
  executables === undefined
    ? [process.execPath, join(root, 'src/apps', `${name}.ts`)]
    : [executablePath(executables, name)];

/** What every process of a local deployment is told. */
const everyEnvironment = (dir: string): Record<string, string> => ({
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
    ...everyEnvironment(options.dir),
    DATABASE_URL: options.databaseUrl,
    ...(options.databaseReplicaUrl === undefined ? {} : { DATABASE_REPLICA_URL: options.databaseReplicaUrl }),
    // Four services share one small server: 4 × 24 connections leave room for operators.
    DATABASE_POOL_MAX: '24',
    GEO_REDIS_URL: options.geoRedisUrl,
    CACHE_REDIS_URL: options.cacheRedisUrl,
    AMQP_URL: options.amqpUrl,
    ...Object.fromEntries(urls),
    ...options.env,
  };
}

/** The people of a simulated city all come from one address, and its clock runs faster than ours. */
export const localLimits: Readonly<Record<string, string>> = {
  LIMIT_AUTH_PER_MINUTE: '60000',
  LIMIT_REALTIME_PER_MINUTE: '60000',
  CONNECTIONS_PER_ADDRESS_MAX: '0',
  POSITION_SPEED_METRES_PER_SECOND_MAX: '100000',
};

export interface LocalSecrets extends Record<string, string> {
  SERVICE_TOKEN: string;
  SIGNING_KEY_SECRET: string;
  /** The operator's account, which is made at start. */
  OPS_EMAIL: string;
  OPS_PASSWORD: string;
}

const operatorEmail = 'ops@uitgo.local';

/** Where `loadLocalSecrets` keeps them. */
export const secretsPath = (dir: string): string => join(dir, 'secrets.json');

/**
 * Secrets of a local deployment: made once, kept for its owner's eyes, the same over restarts. An
 * operator named in the environment (OPS_EMAIL, OPS_PASSWORD) stands before our own.
 */
export function loadLocalSecrets(dir: string): LocalSecrets {
  const file = secretsPath(dir);
  const kept: Record<string, string> = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  const fresh = () => Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex');
  const { OPS_EMAIL, OPS_PASSWORD } = process.env;
  const secrets: LocalSecrets = {
    SERVICE_TOKEN: kept.SERVICE_TOKEN ?? fresh(),
    SIGNING_KEY_SECRET: kept.SIGNING_KEY_SECRET ?? fresh(),
    ...(OPS_EMAIL && OPS_PASSWORD
      ? { OPS_EMAIL, OPS_PASSWORD }
      : { OPS_EMAIL: kept.OPS_EMAIL ?? operatorEmail, OPS_PASSWORD: kept.OPS_PASSWORD ?? fresh() }),
  };
  mkdirSync(dir, { recursive: true });
  writeFileSync(file, JSON.stringify(secrets), { mode: 0o600 });
  return secrets;
}
