import type { Static, TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { Metrics } from '../metrics.ts';

/**
 * Short-lived copies of what a store of record also knows. An optimisation and nothing else: no call
 * ever rejects; while the cache is away or slow, everything is a miss and nothing is kept.
 */
export interface Cache {
  get(key: string): Promise<string | undefined>;
  /** Kept for `ttlMs` at most; may vanish earlier. */
  set(key: string, value: string, ttlMs: number): Promise<void>;
  delete(key: string): Promise<void>;
  /** Rejects while the cache is away: for readiness details, not for callers. */
  ping(): Promise<void>;
}

export interface ReadThroughOptions<T extends TSchema> {
  cache: Cache;
  metrics: Metrics;
  /** Begins the keys, and names the cache in the metrics. */
  name: string;
  /** What an entry must look like: another version's leftovers are misses. */
  schema: T;
}

export interface ReadThrough<T> {
  /** The cached value, or what `load` gives (kept for `ttlMs`; undefined is not kept). Loads of one key that overlap are one. */
  get(key: string, ttlMs: number, load: () => Promise<T | undefined>): Promise<T | undefined>;
  put(key: string, value: T, ttlMs: number): Promise<void>;
}

/** A typed view of the cache over a loader. Counts `cache_reads_total{cache, result}` with result hit or miss. */
export function createReadThrough<T extends TSchema>(options: ReadThroughOptions<T>): ReadThrough<Static<T>> {
  const { cache, metrics, name, schema } = options;
  const loading = new Map<string, Promise<Static<T> | undefined>>();

  const put = (key: string, value: Static<T>, ttlMs: number) =>
    cache.set(`${name}:${key}`, JSON.stringify(value), ttlMs);

  async function read(key: string): Promise<Static<T> | undefined> {
    const text = await cache.get(`${name}:${key}`);
    const found = text === undefined ? undefined : parse(schema, text);
    metrics.count('cache_reads_total', { cache: name, result: found === undefined ? 'miss' : 'hit' });
    return found;
  }

  async function readOrLoad(key: string, ttlMs: number, load: () => Promise<Static<T> | undefined>) {
    const found = await read(key);
    if (found !== undefined) return found;
    const loaded = await load();
    if (loaded !== undefined) await put(key, loaded, ttlMs);
    return loaded;
  }

  return {
    put,
    get(key, ttlMs, load) {
      const underWay = loading.get(key);
      if (underWay !== undefined) return underWay;
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
