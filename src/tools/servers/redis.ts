import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { awaitUnclaimed } from './claim.ts';
import { containerCommand, pullImage, signalContainer } from './docker.ts';
import type { ServerEngine } from './engine.ts';
import { startManagedServer } from './managed.ts';
import { withPort } from './ports.ts';
import type { ProcessSpec } from './process.ts';
import { loadOrCreatePassword } from './secret.ts';
import { probeTcp } from './tcp.ts';
import type { ReportProgress, RunningServer } from './types.ts';

const image = 'redis:7-alpine';
const innerPort = 6379;
const stopTimeoutMs = 5_000;
const readyTimeoutMs = 15_000;
const cacheMemoryMax = '256mb';
/** A primary that does not respond for this time is replaced by its replica. */
const clusterNodeTimeoutMs = 1_000;

/** `geo` must not lose data while it runs, so it rejects writes when full; `cache` evicts instead. */
export type RedisRole = 'geo' | 'cache';

export type RedisOptions = {
  /** Folder for the log and the password; created if missing. Redis stores no data here. */
  readonly dir: string;
  readonly role: RedisRole;
  readonly engine: ServerEngine;
  /** `stop()` removes the folder. */
  readonly ephemeral: boolean;
  readonly port?: number;
  /** The cluster bus port. If set, the server is a node of a cluster. Not supported in a container. */
  readonly clusterPort?: number;
  /** When aborted, starting rejects with `server.interrupted` and leaves nothing running. */
  readonly signal?: AbortSignal | undefined;
  readonly report: ReportProgress;
};

/**
 * Starts one Redis on 127.0.0.1, without persistence: its data can be rebuilt.
 * @throws ServerError
 */
export const startRedis = async (options: RedisOptions): Promise<RunningServer> => {
  const dir = resolve(options.dir);
  mkdirSync(dir, { recursive: true });
  await awaitUnclaimed(`Redis (${options.role})`, dir);
  if (options.engine.via === 'docker') await pullImage(image, options.report);
  return withPort(options.port, (port) => start(options, dir, port));
};

const start = (options: RedisOptions, dir: string, port: number): Promise<RunningServer> => {
  const password = loadOrCreatePassword(dir);
  const containerName = `uitgo-${basename(dir)}-${port}`;
  const { engine } = options;
  const spec: ProcessSpec = {
    name: `Redis (${options.role})`,
    command:
      engine.via === 'docker'
        ? containerCommand({
            name: containerName,
            image,
            port,
            innerPort,
            options: [],
            command: ['redis-server', ...flags(options.role, password)],
          })
        : [engine.program, writeConfig(dir, port, settings(options.role, password, options.clusterPort))],
    cwd: dir,
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? dir },
    logFile: join(dir, 'redis.log'),
    account: undefined,
    stopSignal: 'SIGTERM',
    stopTimeoutMs,
    signal: options.signal,
  };
  const ping = `AUTH ${password}\r\nPING\r\n`;
  return startManagedServer({
    kind: options.role === 'geo' ? 'redis-geo' : 'redis-cache',
    origin: engine.via,
    url: `redis://:${password}@127.0.0.1:${port}`,
    dir,
    spec,
    readyTimeoutMs,
    isReady: () => probeTcp(port, ping, (answer) => answer.startsWith('+OK')),
    ...(engine.via === 'docker'
      ? { signalServer: (signal: NodeJS.Signals) => signalContainer(containerName, signal) }
      : {}),
    afterStop: async () => {
      if (options.ephemeral) rmSync(dir, { recursive: true, force: true });
    },
  });
};

const settings = (role: RedisRole, password: string, clusterPort?: number): [string, string][] => [
  ['requirepass', password],
  ['save', '""'],
  ['appendonly', 'no'],
  ['maxmemory-policy', role === 'geo' ? 'noeviction' : 'allkeys-lru'],
  ...(role === 'cache' ? [['maxmemory', cacheMemoryMax] satisfies [string, string]] : []),
  ...(clusterPort === undefined ? [] : clusterSettings(password, clusterPort)),
];

const clusterSettings = (password: string, port: number): [string, string][] => [
  ['cluster-enabled', 'yes'],
  ['cluster-port', String(port)],
  ['cluster-node-timeout', String(clusterNodeTimeoutMs)],
  ['masterauth', password],
];

const flags = (role: RedisRole, password: string): string[] =>
  settings(role, password).flatMap(([name, value]) => [`--${name}`, value === '""' ? '' : value]);

/** Writes the settings to a file, because every user of the machine can read the flags of a process, including the password. */
const writeConfig = (dir: string, port: number, named: [string, string][]): string => {
  const file = join(dir, 'redis.conf');
  const lines = [
    'bind 127.0.0.1',
    `port ${port}`,
    'daemonize no',
    `dir "${dir}"`,
    ...named.map(([name, value]) => `${name} ${value}`),
  ];
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  return file;
};
