import { createHash } from 'node:crypto';
import { Cluster, Redis } from 'ioredis';
import type { Log } from '../log.ts';
import { problem } from '../problems.ts';
import { createReconnectPolicy, reconnectWhenDemoted } from './reconnect.ts';

export type { Cluster, Redis } from 'ioredis';
export { reconnectWhenDemoted } from './reconnect.ts';

const commandTimeoutMs = 1_000;
const connectTimeoutMs = 2_000;
// The number of pauses that a command waits for a failover before it fails and its caller retries.
const redirectionsMax = 5;
const failoverPauseMs = 100;
// How often a server that is loading its data is checked.
const loadingPauseMsMax = 1_000;
const probeTtlMs = 10_000;

/** What scripts need of a connection to a server or a cluster. */
export type RedisScriptClient = Pick<Redis, 'evalsha' | 'eval' | 'callBuffer'>;

/**
 * Opens a connection that fails fast: no command is queued while Redis is unavailable (an offline queue has no
 * bound), and every command has a timeout. It reconnects by itself, also when its server was demoted. Scripts must be
 * idempotent, since the caller may send a command again when its reply was lost.
 */
export function connectRedis(url: string, role: 'geo' | 'cache', log: Log): Redis {
  const policy = createReconnectPolicy();
  const redis = new Redis(url, {
    enableOfflineQueue: false,
    commandTimeout: commandTimeoutMs,
    connectTimeout: connectTimeoutMs,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    maxLoadingRetryTime: loadingPauseMsMax,
    retryStrategy: policy.retryStrategy,
    reconnectOnError: policy.reconnectOnError,
    connectionName: `uit-go:${role}`,
  });
  reconnectWhenDemoted(redis, log, policy);
  redis.on('error', (error: Error) => log.warn({ role, err: error }, 'redis connection error'));
  return redis;
}

/**
 * Opens connections to a Redis Cluster, which is discovered through any of its nodes. All nodes share user, password
 * and TLS. Each command goes to the node that has its keys, so a script must name keys of one slot only.
 */
export function connectRedisCluster(urls: readonly string[], role: 'geo', log: Log): Cluster {
  const nodes = urls.map((url) => new URL(url));
  const [first] = nodes;
  const cluster = new Cluster(
    nodes.map(({ hostname, port }) => ({ host: hostname, port: Number(port || 6379) })),
    {
      enableOfflineQueue: false,
      // Keeps host names. By default they are resolved to addresses here, which match no TLS certificate.
      dnsLookup: (name, callback) => callback(null, name),
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
        // A node that was disconnected is discovered again with the next refresh of the slots.
        reconnectOnError: createReconnectPolicy().reconnectOnError,
        connectionName: `uit-go:${role}`,
        ...(first?.username ? { username: decodeURIComponent(first.username) } : {}),
        ...(first?.password ? { password: decodeURIComponent(first.password) } : {}),
        ...(first?.protocol === 'rediss:' ? { tls: {} } : {}),
      },
    },
  );
  cluster.on('error', (error: Error) => log.warn({ role, err: error }, 'redis cluster error'));
  cluster.on('node error', (error: Error, node: string) =>
    log.warn({ role, node, err: error }, 'redis cluster node error'),
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

/** Creates a function that runs a Lua script by its digest. The text is sent only when the server does not know it yet. */
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

/** Does the same for a script that returns binary strings, which arrive as buffers. */
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

/** Rejects unless a write to Redis can be read back. A server that answers PING may be demoted, full or unable to save. */
export function createRedisProbe(redis: RedisScriptClient, key: string): () => Promise<void> {
  const probe = createScript(redis, probeScript);
  return async () => {
    await probe([key], ['probe', probeTtlMs]);
  };
}

const isUnknownScript = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith('NOSCRIPT');
