import { productsOf, productTable } from '@contracts/drivers.ts';
import {
  createBinaryScript,
  createRedisProbe,
  createScript,
  type RedisScriptClient,
} from '@platform/redis/connection.ts';
import type { CellRange } from './cells.ts';
import { decodeDrivers, decodeOutcomes, encodeUpdates } from './encoding.ts';
import {
  type Availability,
  availabilityLeaseMs,
  type FoundDriver,
  jumpMetresMax,
  latitudeMax,
  type NearestQuery,
  offlineLeaseMs,
  type PositionIndex,
  type PositionIndexDeps,
  type PositionUpdate,
  type RecordOutcome,
} from './index.ts';
import { forEachShard, type ShardKeys, shardKeys } from './keys.ts';
import { type CellContents, createNearestSearch } from './nearest.ts';
import { createScripts } from './scripts.ts';

export interface RedisPositionIndexDeps extends PositionIndexDeps {
  /** A single server or a cluster: all keys of a shard are in one slot. */
  redis: RedisScriptClient;
  /** Prefix of all keys, one per deployment. */
  prefix: string;
  shards: number;
}

// About 0.2 ms of Redis time per step.
const sweepDriversMax = 250;
const availabilityLetter: Record<Availability, string> = { available: 'a', busy: 'b', offline: 'o' };

/** The position index that all instances of a fleet share. Redis errors are passed on unchanged. */
export function createRedisPositionIndex(deps: RedisPositionIndexDeps): PositionIndex {
  const {
    redis,
    prefix,
    shards,
    clock,
    freshnessMs,
    speedMetresPerSecondMax,
    sweepEveryMs,
    products = productTable,
  } = deps;
  const scripts = createScripts(products);
  const allKeys = Array.from({ length: shards }, (_, shard) => shardKeys(prefix, shard, products));
  const record = createBinaryScript(redis, scripts.record);
  const writeAvailabilities = createScript(redis, scripts.setAvailabilities);
  const readRanges = createBinaryScript(redis, scripts.readCells);
  const sweep = createScript(redis, scripts.sweep);
  const probes = allKeys.map((keys) => createRedisProbe(redis, keys.probe));
  const nearest = createNearestSearch(readCells);
  const limits = [availabilityLeaseMs, offlineLeaseMs, freshnessMs, speedMetresPerSecondMax, jumpMetresMax];

  return {
    async record(updates) {
      const outcomes: RecordOutcome[] = [];
      await forEachShard(allKeys, updates, async (keys, part, indexes) => {
        const partOutcomes = await recordShard(keys, part);
        for (const [index, target] of indexes.entries())
          outcomes[target] = partOutcomes[index] ?? { kind: 'unknown' };
      });
      return outcomes;
    },

    async setAvailabilities(availabilities) {
      await forEachShard(allKeys, availabilities, async (keys, part) => {
        const args = part.flatMap(({ driverId, version, availability, product }) => [
          driverId,
          version,
          availabilityLetter[availability],
          product === null ? '-' : products[product].indexLetter,
        ]);
        await writeAvailabilities(keys.driversAndGeo, [clock.nowMs(), ...args]);
      });
    },

    nearest: async (query) => (Math.abs(query.point.lat) > latitudeMax ? [] : nearest(query)),

    async sweep() {
      const nowMs = clock.nowMs();
      const args = [nowMs, nowMs - freshnessMs, sweepEveryMs, sweepDriversMax];
      const steps = await Promise.all(
        allKeys.map(async ({ drivers, sweep: sweepKey, geo }) =>
          toNumbers(await sweep([drivers, sweepKey, ...Object.values(geo)], args)),
        ),
      );
      return {
        forgotten: steps.reduce((sum, [forgotten = 0]) => sum + forgotten, 0),
        isMore: steps.some(([, isMore]) => isMore === 1),
      };
    },

    async ping() {
      // An unavailable shard fails only its own drivers and searches; positions of other drivers are stored.
      await Promise.any(probes.map((probe) => probe()));
    },
  };

  /** Never rejects: a shard that can't be reached fails its own updates only. */
  async function recordShard(keys: ShardKeys, updates: PositionUpdate[]): Promise<RecordOutcome[]> {
    const args = [clock.nowMs(), ...limits, encodeUpdates(updates)];
    try {
      const [codes = emptyBuffer, previous = emptyBuffer] = toBuffers(await record(keys.driversAndGeo, args));
      return decodeOutcomes(codes, previous);
    } catch (cause) {
      return updates.map(() => ({ kind: 'failed', cause }));
    }
  }

  async function readCells(
    { point, product }: NearestQuery,
    ranges: readonly CellRange[],
    crowdMax: number,
  ): Promise<CellContents> {
    const searched = product === undefined ? productsOf(products) : [product];
    const args = ranges.flatMap(({ from, to, level }) => [from, to, level === 0 ? -1 : crowdMax + 1]);
    const freshAfterMs = clock.nowMs() - freshnessMs;
    const replies = await Promise.all(
      allKeys.map(({ drivers, geo }) => readRanges([drivers, ...searched.map((each) => geo[each])], args)),
    );
    const drivers: FoundDriver[][] = [];
    const crowdedRanges = new Set<CellRange>();
    for (const reply of replies)
      for (const [position, each] of searched.entries()) {
        const [encoded, crowdedIndexes] = Array.isArray(reply) ? reply.slice(2 * position) : [];
        if (Buffer.isBuffer(encoded)) drivers.push(decodeDrivers(encoded, each, point, freshAfterMs));
        for (const range of toNumbers(crowdedIndexes).map((index) => ranges[index]))
          if (range) crowdedRanges.add(range);
      }
    return { drivers: drivers.flat(), crowdedRanges: [...crowdedRanges] };
  }
}

const emptyBuffer = Buffer.alloc(0);
const toNumbers = (reply: unknown): number[] => (Array.isArray(reply) ? reply.map(Number) : []);
const toBuffers = (reply: unknown): Buffer[] =>
  Array.isArray(reply) ? reply.filter((part) => Buffer.isBuffer(part)) : [];
