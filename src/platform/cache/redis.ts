import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Redis } from '../redis/connection.ts';
import type { Cache } from './cache.ts';

export interface RedisCacheOptions {
  /** A connection in the cache role (`allkeys-lru`): entries may be evicted at any time. */
  redis: Pick<Redis, 'get' | 'set' | 'del' | 'ping'>;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** The prefix of every key, so that tests and deployments can share a server. */
  prefix?: string;
}

// A cache that is slower than the store behind it is worse than none.
const replyTimeoutMs = 100;
// After a failure, commands are skipped for this long, so that a hung Redis does not cost each caller the timeout.
const skipAfterFailureMs = 1_000;

/** A cache in Redis. While Redis is unavailable, hung or full, reads are misses. Failures count in `cache_failures_total{operation}`. */
export function createRedisCache({ redis, clock, log, metrics, prefix = '' }: RedisCacheOptions): Cache {
  let skipUntilMs = Number.NEGATIVE_INFINITY;

  async function attempt<T>(operation: string, command: () => Promise<T>): Promise<T | undefined> {
    if (clock.nowMs() < skipUntilMs) return undefined;
    try {
      return await withReplyTimeout(command(), clock);
    } catch (error) {
      if (clock.nowMs() >= skipUntilMs)
        log.warn({ operation, err: error }, 'cache command failed, continuing without the cache');
      skipUntilMs = clock.nowMs() + skipAfterFailureMs;
      metrics.count('cache_failures_total', { operation });
      return undefined;
    }
  }

  return {
    async get(key) {
      return (await attempt('get', () => redis.get(prefix + key))) ?? undefined;
    },
    async set(key, value, ttlMs) {
      if (ttlMs <= 0) return void (await attempt('set', () => redis.del(prefix + key)));
      await attempt('set', () => redis.set(prefix + key, value, 'PX', Math.ceil(ttlMs)));
    },
    async delete(key) {
      await attempt('delete', () => redis.del(prefix + key));
    },
    async ping() {
      await redis.ping();
    },
  };
}

async function withReplyTimeout<T>(reply: Promise<T>, clock: Clock): Promise<T> {
  const answered = new AbortController();
  const timeout = clock.sleep(replyTimeoutMs, answered.signal).then((): never => {
    throw new Error(`no reply within ${replyTimeoutMs} ms`);
  });
  // After a reply the sleep ends early and still throws, which must not become an unhandled rejection.
  timeout.catch(() => undefined);
  try {
    return await Promise.race([reply, timeout]);
  } finally {
    answered.abort();
  }
}
