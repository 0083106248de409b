import type { Clock } from '../clock.ts';
import type { Cache } from './cache.ts';

export interface MemoryCacheOptions {
  clock: Clock;
  /** Beyond this many, the least recently used entry is evicted. */
  entriesMax: number;
}

interface Entry {
  value: string;
  expiresAtMs: number;
}

/** A cache within one process. It evicts the least recently used entry, like Redis with `allkeys-lru`. */
export function createMemoryCache({ clock, entriesMax }: MemoryCacheOptions): Cache {
  // A Map keeps insertion order, so each use moves the entry to the end.
  const entries = new Map<string, Entry>();

  return {
    async get(key) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      entries.delete(key);
      if (entry.expiresAtMs <= clock.nowMs()) return undefined;
      entries.set(key, entry);
      return entry.value;
    },
    async set(key, value, ttlMs) {
      entries.delete(key);
      if (ttlMs <= 0) return;
      if (entries.size >= entriesMax) entries.delete(entries.keys().next().value ?? '');
      entries.set(key, { value, expiresAtMs: clock.nowMs() + ttlMs });
    },
    async delete(key) {
      entries.delete(key);
    },
    async ping() {},
  };
}
