import type { Static, TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { Metrics } from '../metrics.ts';

/**
 * Short-lived copies of data that a store of record also has. It is only an optimisation: `get`, `set` and `delete`
 * never reject. While the cache is unavailable or slow, every read is a miss and nothing is stored.
 */
export interface Cache {
  get(key: string): Promise<string | undefined>;
  /** Stores the value for at most `ttlMs`. It may be evicted earlier. */
  set(key: string, value: string, ttlMs: number): Promise<void>;
  delete(key: string): Promise<void>;
  /** Rejects while the cache is unavailable. For readiness details only. */
  ping(): Promise<void>;
}

export interface ReadThroughOptions<T extends TSchema> {
  cache: Cache;
  metrics: Metrics;
  /** The prefix of the keys, and the name of the cache in the metrics. */
  name: string;
  /** The schema of the values. Entries of another version do not match and count as misses. */
  schema: T;
}

export interface ReadThrough<T> {
  /** Returns the cached value, or else loads it and caches it for `ttlMs` unless it is undefined. Concurrent loads of a key are coalesced. */
  get(key: string, ttlMs: number, load: () => Promise<T | undefined>): Promise<T | undefined>;
  put(key: string, value: T, ttlMs: number): Promise<void>;
}

/** A typed read-through cache. Counts `cache_reads_total{cache, result}` with the result `hit` or `miss`. */
export function createReadThrough<T extends TSchema>(options: ReadThroughOptions<T>): ReadThrough<Static<T>> {
  const { cache, metrics, name, schema } = options;
  const loading = new Map<string, Promise<Static<T> | undefined>>();

  const put = (key: string, value: Static<T>, ttlMs: number) =>
    cache.set(`${name}:${key}`, JSON.stringify(value), ttlMs);

  async function read(key: string): Promise<Static<T> | undefined> {
    const text = await cache.get(`${name}:${key}`);
    const value = text === undefined ? undefined : parse(schema, text);
    metrics.count('cache_reads_total', { cache: name, result: value === undefined ? 'miss' : 'hit' });
    return value;
  }

  async function readOrLoad(key: string, ttlMs: number, load: () => Promise<Static<T> | undefined>) {
    const cached = await read(key);
    if (cached !== undefined) return cached;
    const loaded = await load();
    if (loaded !== undefined) await put(key, loaded, ttlMs);
    return loaded;
  }

  return {
    put,
    get(key, ttlMs, load) {
      const inFlight = loading.get(key);
      if (inFlight !== undefined) return inFlight;
      const reading = readOrLoad(key, ttlMs, load).finally(() => loading.delete(key));
      loading.set(key, reading);
      return reading;
    },
  };
}

function parse<T extends TSchema>(schema: T, text: string): Static<T> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Value.Check(schema, value) ? value : undefined;
  } catch {
    return undefined;
  }
}
