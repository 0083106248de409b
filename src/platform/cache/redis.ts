import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Redis } from '../redis/connection.ts';
import type { Cache } from './cache.ts';

export interface RedisCacheOptions {
  /** A connection in the cache role (`allkeys-lru`): entries may vanish at any time. */
  redis: Pick<Redis, 'get' | 'set' | 'del' | 'ping'>;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Begins every key, so that tests and deployments can share a server. */
  prefix?: string;
}

// A cache that is slower than the store it stands before is worse than none.
const replyTimeoutMs = 100;
// After a failure the server is left alone for this long: a hung Redis must not cost each caller the timeout.
const awayMs = 1_000;

/** A Redis that is away, hung or full is a run of misses. Failures count in `cache_failures_total{operation}`. */
export function createRedisCache({ redis, clock, log, metrics, prefix = '' }: RedisCacheOptions): Cache {
  let awayUntilMs = Number.NEGATIVE_INFINITY;

  async function attempt<T>(operation: string, command: () => Promise<T>): Promise<T | undefined> {
    if (clock.nowMs() < awayUntilMs) return undefined;
    try {
      return await inTime(command(), clock);
    } catch (error) {
      if (clock.nowMs() >= awayUntilMs)
        log.warn({ operation, err: error }, 'the cache is away; going on without');
      awayUntilMs = clock.nowMs() + awayMs;
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

async function inTime<T>(reply: Promise<T>, clock: Clock): Promise<T> {
  const answered = new AbortController();
  const late = clock.sleep(replyTimeoutMs, answered.signal).then((): never => {
    throw new Error(`no reply within ${replyTimeoutMs} ms`);
  });
  // Once the reply is there, the sleeper ends and its throw is nobody's business.
  late.catch(() => undefined);
  try {
    return await Promise.race([reply, late]);
  } finally {
    answered.abort();
  }
}
