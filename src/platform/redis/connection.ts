import { createHash } from 'node:crypto';
import { Cluster, Redis } from 'ioredis';
import type { Log } from '../log.ts';
import { problem } from '../problems.ts';
import { createReconnectPolicy, reconnectWhenDemoted } from './reconnect.ts';

export type { Cluster, Redis } from 'ioredis';
export { reconnectWhenDemoted } from './reconnect.ts';

const commandTimeoutMs = 1_000;
const connectTimeoutMs = 2_000;
// A command waits for a failover no longer than this many pauses; its caller is told to come again.
const redirectionsMax = 5;
const failoverPauseMs = 100;
// A server that reads its data is asked again so often whether it is done.
const loadingPauseMsMax = 1_000;
const probeTtlMs = 10_000;

/** What scripts need of a connection: one to a server, or one to each server of a cluster. */
export type RedisScriptClient = Pick<Redis, 'evalsha' | 'eval' | 'callBuffer'>;

/**
 * A connection that fails fast: nothing is queued while Redis is away (an offline queue has no
 * bound), every command has a time limit, and it reconnects by itself, also away from a server that was
 * demoted. Scripts must be idempotent, since a command whose reply was lost may be sent again by the caller.
 */
export function connectRedis(url: string, role: 'geo' | 'cache', log: Log): Redis {
  const reconnecting = createReconnectPolicy();
  const redis = new Redis(url, {
    enableOfflineQueue: false,
    commandTimeout: commandTimeoutMs,
    connectTimeout: connectTimeoutMs,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    maxLoadingRetryTime: loadingPauseMsMax,
    retryStrategy: reconnecting.retryStrategy,
    reconnectOnError: reconnecting.reconnectOnError,
    connectionName: `uit-go:${role}`,
  });
  reconnectWhenDemoted(redis, log, reconnecting);
  redis.on('error', (error: Error) => log.warn({ role, err: error }, 'redis connection'));
  return redis;
}

/**
 * The same to a Redis Cluster, found by any of its nodes (all of one user and password, and TLS or not).
 * Each command goes to the node that holds its keys; scripts name keys of one slot only.
 */
export function connectRedisCluster(urls: readonly string[], role: 'geo', log: Log): Cluster {
  const nodes = urls.map((url) => new URL(url));
  const [first] = nodes;
  const cluster = new Cluster(
    nodes.map(({ hostname, port }) => ({ host: hostname, port: Number(port || 6379) })),
    {
      enableOfflineQueue: false,
      // Names stay names: by default they become addresses here, which no certificate names.
      dnsLookup: (name, found) => found(null, name),
      maxRedirections: redirectionsMax,
      retryDelayOnFailover: failoverPauseMs,
      retryDelayOnClusterDown: failoverPauseMs,
      retryDelayOnTryAgain: failoverPauseMs,
      clusterRetryStrategy: (attempt) => Math.min(1_000, 50 * attempt),
      slotsRefreshTimeout: connectTimeoutMs,
      slotsRefreshInterval: 5_000,
      redisOptions: {
        commandTimeout: commandTimeoutMs,
        connectTimeout: connectTimeoutMs,
        maxRetriesPerRequest: 0,
        autoResendUnfulfilledCommands: false,
        // A node that is left is found again with the next look at the slots.
        reconnectOnError: createReconnectPolicy().reconnectOnError,
        connectionName: `uit-go:${role}`,
        ...(first?.username ? { username: decodeURIComponent(first.username) } : {}),
        ...(first?.password ? { password: decodeURIComponent(first.password) } : {}),
        ...(first?.protocol === 'rediss:' ? { tls: {} } : {}),
      },
    },
  );
  cluster.on('error', (error: Error) => log.warn({ role, err: error }, 'redis cluster'));
  cluster.on('node error', (error: Error, node: string) =>
    log.warn({ role, node, err: error }, 'redis cluster node'),
  );
  return cluster;
}

/** Resolves when the connection is usable; rejects with `service.unavailable` after `timeoutMs`. */
export async function waitForRedis(redis: Redis | Cluster, timeoutMs: number): Promise<void> {
  if (redis.status === 'ready') return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(
    () => reject(problem('service.unavailable', { detail: 'Redis does not answer; check its URL' })),
    timeoutMs,
  );
  redis.once('ready', resolve);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    redis.off('ready', resolve);
  }
}

type ScriptArg = string | number | Buffer;

/** A Lua script by its digest: the text travels only when the server does not know it (also after a restart). */
export function createScript(redis: RedisScriptClient, lua: string) {
  const digest = createHash('sha1').update(lua).digest('hex');
  return async (keys: readonly string[], args: readonly ScriptArg[]): Promise<unknown> => {
    try {
      return await redis.evalsha(digest, keys.length, ...keys, ...args);
    } catch (error) {
      if (!isUnknownScript(error)) throw error;
      return redis.eval(lua, keys.length, ...keys, ...args);
    }
  };
}

/** The same for a script that answers in bytes: its strings come as they are, as buffers. */
export function createBinaryScript(redis: RedisScriptClient, lua: string) {
  const digest = createHash('sha1').update(lua).digest('hex');
  return async (keys: readonly string[], args: readonly ScriptArg[]): Promise<unknown> => {
    try {
      return await redis.callBuffer('evalsha', digest, keys.length, ...keys, ...args);
    } catch (error) {
      if (!isUnknownScript(error)) throw error;
      return redis.callBuffer('eval', lua, keys.length, ...keys, ...args);
    }
  };
}

const probeScript = `
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return redis.call('GET', KEYS[1])`;

/** Rejects unless Redis takes a write and gives it back: a server that answers PING may be demoted, full or unable to save. */
export function createRedisProbe(redis: RedisScriptClient, key: string): () => Promise<void> {
  const probe = createScript(redis, probeScript);
  return async () => {
    await probe([key], ['probe', probeTtlMs]);
  };
}

const isUnknownScript = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith('NOSCRIPT');
