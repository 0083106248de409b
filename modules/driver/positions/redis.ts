import type { Product } from '@contracts/drivers.ts';
import type { DriverId } from '@contracts/ids.ts';
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
  products,
  type RecordOutcome,
} from './index.ts';
import { type ShardKeys, shardKeys, shardOf } from './keys.ts';
import { type CellContents, createNearestSearch } from './nearest.ts';
import { availabilitiesScript, cellsScript, recordScript, sweepScript } from './scripts.ts';

export interface RedisPositionIndexDeps extends PositionIndexDeps {
  /** A server, or a cluster: the keys of a shard lie in one slot. */
  redis: RedisScriptClient;
  /** In front of all keys: the deployment's. */
  prefix: string;
  shards: number;
}

// About 0.2 ms of Redis.
const sweepDriversMax = 250;
const availabilityLetter: Record<Availability, string> = { available: 'a', busy: 'b', offline: 'o' };
const productLetter: Record<Product, string> = { bike: 'b', car: 'c', car_xl: 'x' };

/** The index of a fleet: all instances share it. Errors of Redis come out as they are. */
export function createRedisPositionIndex(options: RedisPositionIndexDeps): PositionIndex {
  const { redis, prefix, shards, clock, freshnessMs, speedMetresPerSecondMax, sweepEveryMs } = options;
  const allKeys = Array.from({ length: shards }, (_, shard) => shardKeys(prefix, shard));
  const record = createBinaryScript(redis, recordScript);
  const setStandings = createScript(redis, availabilitiesScript);
  const readRanges = createBinaryScript(redis, cellsScript);
  const sweep = createScript(redis, sweepScript);
  const probes = allKeys.map((keys) => createRedisProbe(redis, keys.probe));
  const nearest = createNearestSearch(readCells);
  const limits = [availabilityLeaseMs, offlineLeaseMs, freshnessMs, speedMetresPerSecondMax, jumpMetresMax];

  return {
    async record(updates) {
      const outcomes: RecordOutcome[] = [];
      await eachShard(updates, async (keys, part, places) => {
        const found = await recordShard(keys, part);
        for (const [index, place] of places.entries()) outcomes[place] = found[index] ?? { kind: 'unknown' };
      });
      return outcomes;
    },

    async setAvailabilities(standings) {
      await eachShard(standings, async (keys, part) => {
        const args = part.flatMap(({ driverId, version, availability, product }) => [
          driverId,
          version,
          availabilityLetter[availability],
          product === null ? '-' : productLetter[product],
        ]);
        await setStandings(setKeys(keys), [clock.nowMs(), ...args]);
      });
    },

    nearest: async (query) => (Math.abs(query.point.lat) > latitudeMax ? [] : nearest(query)),

    async sweep() {
      const nowMs = clock.nowMs();
      const args = [nowMs, nowMs - freshnessMs, sweepEveryMs, sweepDriversMax];
      const steps = await Promise.all(
        allKeys.map(async ({ drivers, sweep: walk, geo }) =>
          numbers(await sweep([drivers, walk, ...Object.values(geo)], args)),
        ),
      );
      return {
        forgotten: steps.reduce((sum, [forgotten = 0]) => sum + forgotten, 0),
        isMore: steps.some(([, isMore]) => isMore === 1),
      };
    },

    async ping() {
      // A shard that is away refuses its own drivers, and a search; the rest goes on.
      await Promise.any(probes.map((probe) => probe()));
    },
  };

  /** A shard that can't be reached holds up nobody of the others. */
  async function recordShard(keys: ShardKeys, updates: PositionUpdate[]): Promise<RecordOutcome[]> {
    const args = [clock.nowMs(), ...limits, encodeUpdates(updates)];
    try {
      const [codes = none, previous = none] = buffers(await record(setKeys(keys), args));
      return decodeOutcomes(codes, previous);
    } catch (cause) {
      return updates.map(() => ({ kind: 'failed', cause }));
    }
  }

  async function readCells(
    { point, product }: NearestQuery,
    runs: readonly CellRange[],
    crowdMax: number,
  ): Promise<CellContents> {
    const searched = product === undefined ? products : [product];
    const args = runs.flatMap(({ from, to, level }) => [from, to, level === 0 ? -1 : crowdMax + 1]);
    const freshAfterMs = clock.nowMs() - freshnessMs;
    const replies = await Promise.all(
      allKeys.map(({ drivers, geo }) => readRanges([drivers, ...searched.map((one) => geo[one])], args)),
    );
    const drivers: FoundDriver[][] = [];
    const crowded = new Set<CellRange>();
    for (const reply of replies)
      for (const [index, one] of searched.entries()) {
        const [packed, places] = Array.isArray(reply) ? reply.slice(2 * index) : [];
        if (Buffer.isBuffer(packed)) drivers.push(decodeDrivers(packed, one, point, freshAfterMs));
        for (const run of numbers(places).map((place) => runs[place])) if (run) crowded.add(run);
      }
    return { drivers: drivers.flat(), crowdedRanges: [...crowded] };
  }

  /** Splits a batch by shard and runs the parts at the same time: they go out in one write. */
  async function eachShard<Item extends { driverId: DriverId }>(
    items: readonly Item[],
    run: (keys: ShardKeys, part: Item[], places: number[]) => Promise<void>,
  ): Promise<void> {
    const parts = allKeys.map((keys) => ({ keys, part: [] as Item[], places: [] as number[] }));
    items.forEach((item, place) => {
      const shard = parts[shardOf(item.driverId, shards)];
      shard?.part.push(item);
      shard?.places.push(place);
    });
    await Promise.all(
      parts.filter(({ part }) => part.length > 0).map(({ keys, part, places }) => run(keys, part, places)),
    );
  }
}

const setKeys = ({ drivers, geo }: ShardKeys) => [drivers, geo.bike, geo.car, geo.car_xl];

const none = Buffer.alloc(0);
const numbers = (reply: unknown): number[] => (Array.isArray(reply) ? reply.map(Number) : []);
const buffers = (reply: unknown): Buffer[] =>
  Array.isArray(reply) ? reply.filter((one) => Buffer.isBuffer(one)) : [];
