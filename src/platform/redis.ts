import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import { fault } from './faults.ts';
import type { Log } from './log.ts';

export type { Redis } from 'ioredis';

const commandTimeoutMs = 1_000;
const connectTimeoutMs = 2_000;

/**
 * A connection that fails fast: nothing is queued while Redis is away (an offline queue has no
 * bound), every command has a time limit, and it reconnects by itself. Scripts must be idempotent,
 * since a command whose reply was lost may be sent again by the caller.
 */
export function connectRedis(url: string, role: 'geo' | 'cache', log: Log): Redis {
  const redis = new Redis(url, {
    enableOfflineQueue: false,
    commandTimeout: commandTimeoutMs,
    connectTimeout: connectTimeoutMs,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    retryStrategy: (attempt) => Math.min(1_000, 50 * attempt),
    connectionName: `uit-go:${role}`,
  });
  redis.on('error', (error: Error) => log.warn({ role, err: error }, 'redis connection'));
  return redis;
}

/** Resolves when the connection is usable; rejects with `service.unavailable` after `timeoutMs`. */
export async function redisReady(redis: Redis, timeoutMs: number): Promise<void> {
  if (redis.status === 'ready') return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(
    () => reject(fault('service.unavailable', { detail: 'Redis does not answer; check its URL' })),
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
export function createScript(redis: Redis, lua: string) {
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
export function createBinaryScript(redis: Redis, lua: string) {
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

const isUnknownScript = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith('NOSCRIPT');
