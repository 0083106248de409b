import type { Product } from '@contracts/drivers.ts';
import { distanceMetres } from '@contracts/geo.ts';
import type { DriverId } from '@contracts/ids.ts';
import { createBinaryScript, createScript, type RedisScripting } from '@platform/redis.ts';
import { cellReachMetres, cellSizeMetres, scoreRanges, wrapped } from './geohash.ts';
import {
  type Availability,
  type FoundDriver,
  jumpMetresMax,
  latitudeMax,
  type NearestQuery,
  offlineLeaseMs,
  type PositionIndex,
  type PositionIndexOptions,
  type PositionUpdate,
  products,
  type RecordOutcome,
  standingLeaseMs,
} from './index.ts';
import { type ShardKeys, shardKeys, shardOf } from './keys.ts';
import { packUpdates, readDrivers, readOutcomes } from './packed.ts';
import {
  holdScript,
  nearestScript,
  recordScript,
  releaseScript,
  standingsScript,
  sweepScript,
} from './scripts.ts';

export interface RedisPositionIndexOptions extends PositionIndexOptions {
  /** A server, or a cluster: the keys of a shard lie in one slot. */
  redis: RedisScripting;
  /** In front of all keys: the deployment's. */
  prefix: string;
  shards: number;
}

// About 0.2 ms of Redis.
const sweepDriversMax = 250;
const availabilityLetter: Record<Availability, string> = { available: 'a', busy: 'b', offline: 'o' };
const productLetter: Record<Product, string> = { bike: 'b', car: 'c', car_xl: 'x' };

/** The index of a fleet: all instances share it. Errors of Redis come out as they are. */
export function createRedisPositionIndex(options: RedisPositionIndexOptions): PositionIndex {
  const { redis, prefix, shards, clock, freshnessMs, speedMetresPerSecondMax, sweepEveryMs } = options;
  const allKeys = Array.from({ length: shards }, (_, shard) => shardKeys(prefix, shard));
  const record = createBinaryScript(redis, recordScript);
  const setStandings = createScript(redis, standingsScript);
  const nearest = createBinaryScript(redis, nearestScript);
  const hold = createScript(redis, holdScript);
  const release = createScript(redis, releaseScript);
  const sweep = createScript(redis, sweepScript);
  const limits = [standingLeaseMs, offlineLeaseMs, freshnessMs, speedMetresPerSecondMax, jumpMetresMax];

  return {
    async record(updates) {
      const outcomes: RecordOutcome[] = [];
      await eachShard(updates, async (keys, part, places) => {
        const found = await recordShard(keys, part);
        for (const [index, place] of places.entries()) outcomes[place] = found[index] ?? { kind: 'unknown' };
      });
      return outcomes;
    },

    async setStandings(standings) {
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

    async nearest(query) {
      if (Math.abs(query.point.lat) > latitudeMax) return [];
      const found = await Promise.all(allKeys.map((keys) => searchShard(keys, query)));
      return found
        .flat()
        .sort((a, b) => a.distanceMetres - b.distanceMetres)
        .slice(0, query.limit);
    },

    async hold(driverId, tripId, ttlMs) {
      const nowMs = clock.nowMs();
      return (await hold([keysOf(driverId).drivers], [driverId, tripId, nowMs, nowMs + ttlMs])) === 1;
    },

    async release(driverId, tripId) {
      await release([keysOf(driverId).drivers], [driverId, tripId]);
    },

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
      await redis.ping();
    },
  };

  /** A shard that can't be reached holds up nobody of the others. */
  async function recordShard(keys: ShardKeys, updates: PositionUpdate[]): Promise<RecordOutcome[]> {
    const args = [clock.nowMs(), ...limits, packUpdates(updates)];
    try {
      const [codes = none, previous = none] = buffers(await record(setKeys(keys), args));
      return readOutcomes(codes, previous);
    } catch (cause) {
      return updates.map(() => ({ kind: 'failed', cause }));
    }
  }

  async function searchShard(keys: ShardKeys, query: NearestQuery): Promise<FoundDriver[]> {
    const { point, product, limit, radiusMetresMax, excluding } = query;
    const searched = product === undefined ? products : [product];
    const nowMs = clock.nowMs();
    const { width, height } = cellSizeMetres(point.lat);
    const levels = Math.max(1, Math.ceil(Math.log2(radiusMetresMax / height)) + 1);
    const args = [
      decimal(wrapped(point.lng)),
      decimal(point.lat),
      limit,
      radiusMetresMax,
      nowMs,
      nowMs - freshnessMs,
      cellReachMetres(point.lat),
      width * height,
      levels,
      ...scoreRanges(point, levels).flatMap(({ from, below }) => [from, below]),
      ...excluding,
    ];
    const reply = buffers(await nearest([keys.drivers, ...searched.map((one) => keys.geo[one])], args));
    return searched.flatMap((one, place) =>
      readDrivers(reply[place] ?? none).map(({ driverId, recordedAtMs, lat, lng }) => {
        const at = { lat, lng };
        return {
          driverId,
          product: one,
          point: at,
          recordedAtMs,
          distanceMetres: distanceMetres(point, at),
        };
      }),
    );
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

  function keysOf(driverId: DriverId): ShardKeys {
    return allKeys[shardOf(driverId, shards)] ?? shardKeys(prefix, shardOf(driverId, shards));
  }
}

const setKeys = ({ drivers, geo }: ShardKeys) => [drivers, geo.bike, geo.car, geo.car_xl];

/** Redis does not read exponents ("1e-7") in coordinates; 9 decimals are 0.1 mm. */
const decimal = (degrees: number): string => degrees.toFixed(9);

const none = Buffer.alloc(0);
const numbers = (reply: unknown): number[] => (Array.isArray(reply) ? reply.map(Number) : []);
const buffers = (reply: unknown): Buffer[] =>
  Array.isArray(reply) ? reply.filter((one) => Buffer.isBuffer(one)) : [];
