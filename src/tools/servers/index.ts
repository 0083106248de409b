import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { findEngines, rabbitmqProgram, redisProgram, type ServerProgram } from './engine.ts';
import { createExternalServer } from './managed.ts';
import { startPostgres } from './postgres.ts';
import { startRabbitmq } from './rabbitmq.ts';
import { startRedis } from './redis.ts';
import type { ReportProgress, RunningServer } from './types.ts';

export {
  findEngines,
  installPrograms,
  rabbitmqProgram,
  redisProgram,
  resolveProgram,
  type ServerProgram,
} from './engine.ts';
export { removeOrphanedFolders } from './folder.ts';
export { startPostgres } from './postgres.ts';
export { startRabbitmq } from './rabbitmq.ts';
export { startRedis } from './redis.ts';
export { type ReportProgress, type RunningServer, ServerError, type ServerKind } from './types.ts';

/** URLs of external servers. Each one given is used instead of starting a server. */
export type ExternalServerUrls = {
  readonly postgres?: string | undefined;
  readonly postgresReplica?: string | undefined;
  readonly geoRedis?: string | undefined;
  readonly cacheRedis?: string | undefined;
  readonly amqp?: string | undefined;
};

export type StartServersOptions = {
  /** Folder for the data, passwords and logs of all servers; created if missing, otherwise reused. */
  readonly dir: string;
  /** No PostgreSQL if unset. */
  readonly postgres?: { readonly replica: boolean };
  readonly redis?: boolean;
  readonly rabbitmq?: boolean;
  /** Faster, without durability; `stop()` removes the whole folder. */
  readonly ephemeral?: boolean;
  /** Empty strings count as unset. */
  readonly externalUrls?: ExternalServerUrls;
  /** When aborted, starting rejects with `server.interrupted` and leaves nothing running. */
  readonly signal?: AbortSignal | undefined;
  readonly report: ReportProgress;
};

export type Servers = {
  readonly postgres: RunningServer | undefined;
  readonly postgresReplica: RunningServer | undefined;
  readonly geoRedis: RunningServer | undefined;
  readonly cacheRedis: RunningServer | undefined;
  readonly rabbitmq: RunningServer | undefined;
  all(): RunningServer[];
  /** Stops all servers; may be called again. */
  stop(): Promise<void>;
};

/**
 * Starts the requested servers concurrently, each on a private port of 127.0.0.1. If one fails, the others are
 * stopped.
 * @throws ServerError of the first that failed
 */
export const startServers = async (startOptions: StartServersOptions): Promise<Servers> => {
  const options = { ...startOptions, externalUrls: withoutEmpty(startOptions.externalUrls) };
  const dir = resolve(options.dir);
  mkdirSync(dir, { recursive: true });
  const ephemeral = options.ephemeral ?? false;
  const running: RunningServer[] = [];
  const stop = async () => {
    // All stop concurrently: no server depends on another one to stop.
    await Promise.all(running.map((server) => server.stop()));
    if (ephemeral) rmSync(dir, { recursive: true, force: true });
  };
  const track = async (starting: Promise<RunningServer>): Promise<RunningServer> => {
    const server = await starting;
    running.push(server);
    return server;
  };

  const started = await Promise.allSettled([
    startDatabases(options, dir, ephemeral, track),
    startBrokers(options, dir, ephemeral, track),
  ]);
  const failure = started.find((result) => result.status === 'rejected');
  if (failure !== undefined) {
    await stop();
    throw failure.reason;
  }
  const find = (kind: RunningServer['kind']) => running.find((server) => server.kind === kind);
  return {
    postgres: find('postgres'),
    postgresReplica: find('postgres-replica'),
    geoRedis: find('redis-geo'),
    cacheRedis: find('redis-cache'),
    rabbitmq: find('rabbitmq'),
    all: () => [...running],
    stop,
  };
};

const withoutEmpty = (given: ExternalServerUrls = {}): ExternalServerUrls => ({
  postgres: given.postgres || undefined,
  postgresReplica: given.postgresReplica || undefined,
  geoRedis: given.geoRedis || undefined,
  cacheRedis: given.cacheRedis || undefined,
  amqp: given.amqp || undefined,
});

type Track = (starting: Promise<RunningServer>) => Promise<RunningServer>;

const startDatabases = async (
  options: StartServersOptions,
  dir: string,
  ephemeral: boolean,
  track: Track,
): Promise<void> => {
  const { externalUrls, report } = options;
  if (options.postgres === undefined) return;
  if (externalUrls?.postgres !== undefined) {
    await track(Promise.resolve(createExternalServer('postgres', externalUrls.postgres)));
    const replicaUrl = externalUrls.postgresReplica;
    if (options.postgres.replica && replicaUrl !== undefined) {
      await track(Promise.resolve(createExternalServer('postgres-replica', replicaUrl)));
    }
    return;
  }
  const { replica } = options.postgres;
  const startedAt = performance.now();
  const servers = await startPostgres({
    dir: join(dir, 'postgres'),
    replica,
    ephemeral,
    signal: options.signal,
    report,
  });
  await track(Promise.resolve(servers.primary));
  if (servers.replica !== undefined) await track(Promise.resolve(servers.replica));
  report(`PostgreSQL${replica ? ' and its replica are' : ' is'} ready (${secondsSince(startedAt)})`);
};

const startBrokers = async (
  options: StartServersOptions,
  dir: string,
  ephemeral: boolean,
  track: Track,
): Promise<void> => {
  const { externalUrls, report } = options;
  const wantsRedis = options.redis ?? false;
  const wantsRabbitmq = options.rabbitmq ?? false;
  const needsRedis = wantsRedis && !(externalUrls?.geoRedis && externalUrls.cacheRedis);
  const needsRabbitmq = wantsRabbitmq && externalUrls?.amqp === undefined;
  const needs: ServerProgram[] = [
    ...(needsRedis ? [redisProgram] : []),
    ...(needsRabbitmq ? [rabbitmqProgram] : []),
  ];
  const engines = await findEngines(needs, report);

  const redis = async (role: 'geo' | 'cache', url: string | undefined) => {
    if (url !== undefined) return createExternalServer(`redis-${role}`, url);
    const folder = join(dir, `redis-${role}`);
    const engine = engineOf(engines, redisProgram);
    return reportReady(`Redis (${role})`, report, () =>
      startRedis({ dir: folder, role, engine, ephemeral, signal: options.signal, report }),
    );
  };
  const rabbitmq = async () => {
    if (externalUrls?.amqp !== undefined) return createExternalServer('rabbitmq', externalUrls.amqp);
    const folder = join(dir, 'rabbitmq');
    const engine = engineOf(engines, rabbitmqProgram);
    return reportReady('RabbitMQ', report, () =>
      startRabbitmq({ dir: folder, engine, ephemeral, signal: options.signal, report }),
    );
  };
  const results = await Promise.allSettled([
    ...(wantsRedis ? [track(redis('geo', externalUrls?.geoRedis))] : []),
    ...(wantsRedis ? [track(redis('cache', externalUrls?.cacheRedis))] : []),
    ...(wantsRabbitmq ? [track(rabbitmq())] : []),
  ]);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
};

const engineOf = (engines: Awaited<ReturnType<typeof findEngines>>, need: ServerProgram) => {
  const engine = engines.get(need);
  if (engine === undefined) throw new Error(`no engine was requested for ${need.name}`);
  return engine;
};

const reportReady = async (
  name: string,
  report: ReportProgress,
  start: () => Promise<RunningServer>,
): Promise<RunningServer> => {
  const startedAt = performance.now();
  const server = await start();
  report(`${name} is ready (${secondsSince(startedAt)})`);
  return server;
};

const secondsSince = (startedAt: number): string =>
  `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
