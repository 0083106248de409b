import type { Product } from '@contracts/drivers.ts';
import { distanceMetres, type LatLng } from '@contracts/geo.ts';
import type { DriverId } from '@contracts/ids.ts';
import { createScript, type Redis } from '@platform/redis.ts';
import {
  type FoundDriver,
  latitudeMax,
  type NearestQuery,
  offlineLeaseMs,
  type PositionIndex,
  type PositionIndexOptions,
  products,
  type RecordOutcome,
  standingLeaseMs,
} from './index.ts';
import { type ShardKeys, shardKeys, shardOf } from './keys.ts';
import {
  holdScript,
  nearestScript,
  recordCode,
  recordScript,
  releaseScript,
  standingsScript,
  sweepScript,
} from './scripts.ts';

export interface RedisPositionIndexOptions extends PositionIndexOptions {
  redis: Redis;
  /** In front of all keys: the deployment's. */
  prefix: string;
  shards: number;
}

const sweepMax = 1_000;

/** The index of a fleet: all instances share it. Errors of Redis come out as they are. */
export function createRedisPositionIndex(options: RedisPositionIndexOptions): PositionIndex {
  const { redis, prefix, shards, clock, freshnessMs } = options;
  const allKeys = Array.from({ length: shards }, (_, shard) => shardKeys(prefix, shard));
  const record = createScript(redis, recordScript);
  const setStandings = createScript(redis, standingsScript);
  const nearest = createScript(redis, nearestScript);
  const hold = createScript(redis, holdScript);
  const release = createScript(redis, releaseScript);
  const sweep = createScript(redis, sweepScript);

  return {
    async record(updates) {
      const outcomes: RecordOutcome[] = [];
      await eachShard(updates, async (keys, part, places) => {
        const head = [clock.nowMs(), standingLeaseMs, offlineLeaseMs];
        const args = part.flatMap(({ driverId, point, recordedAtMs }) => [
          driverId,
          decimal(point.lat),
          longitude(point.lng),
          recordedAtMs,
        ]);
        const reply = numbers(await record(writtenKeys(keys), [...head, ...args]));
        places.forEach((place, index) => {
          outcomes[place] = readOutcome(reply[2 * index], reply[2 * index + 1] ?? -1);
        });
      });
      return outcomes;
    },

    async setStandings(standings) {
      await eachShard(standings, async (keys, part) => {
        const args = part.flatMap(({ driverId, version, availability, product }) => [
          driverId,
          version,
          availability,
          product ?? '',
        ]);
        await setStandings(writtenKeys(keys), [clock.nowMs(), ...args]);
      });
    },

    async nearest(query) {
      if (Math.abs(query.point.lat) > latitudeMax) return [];
      const searched = query.product === undefined ? products : [query.product];
      const found = await Promise.all(
        allKeys.flatMap((keys) => searched.map((product) => searchShard(keys, product, query))),
      );
      return found
        .flat()
        .filter((one) => one.distanceMetres <= query.radiusMetresMax)
        .sort((a, b) => a.distanceMetres - b.distanceMetres)
        .slice(0, query.limit);
    },

    async hold(driverId, tripId, ttlMs) {
      const { holds, standings, heard } = keysOf(driverId);
      const nowMs = clock.nowMs();
      return (await hold([holds, standings, heard], [driverId, tripId, nowMs, nowMs + ttlMs])) === 1;
    },

    async release(driverId, tripId) {
      await release([keysOf(driverId).holds], [driverId, tripId]);
    },

    async sweep() {
      const nowMs = clock.nowMs();
      const swept = await Promise.all(
        allKeys.map((keys) =>
          sweep(
            [keys.standings, keys.fixes, keys.heard, keys.holds, ...Object.values(keys.geo)],
            [nowMs, nowMs - freshnessMs, sweepMax],
          ),
        ),
      );
      return swept.reduce((sum: number, count) => sum + Number(count), 0);
    },

    async ping() {
      await redis.ping();
    },
  };

  async function searchShard(keys: ShardKeys, product: Product, query: NearestQuery): Promise<FoundDriver[]> {
    const { point, limit, radiusMetresMax, excluding } = query;
    const nowMs = clock.nowMs();
    const reply = await nearest(
      [keys.geo[product], keys.fixes, keys.holds],
      [
        longitude(point.lng),
        decimal(point.lat),
        limit,
        radiusMetresMax,
        nowMs,
        nowMs - freshnessMs,
        ...excluding,
      ],
    );
    const texts = Array.isArray(reply) ? reply.map(String) : [];
    const found: FoundDriver[] = [];
    for (let at = 0; at < texts.length; at += 2)
      found.push(readFound(texts[at] ?? '', texts[at + 1] ?? '', product, point));
    return found;
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

const writtenKeys = ({ standings, fixes, heard, geo }: ShardKeys) => [
  standings,
  fixes,
  heard,
  geo.bike,
  geo.car,
  geo.car_xl,
];

/** Redis does not read exponents ("1e-7") in coordinates; 9 decimals are 0.1 mm. */
const decimal = (degrees: number): string => degrees.toFixed(9);

/** 180° overflows the geohash of Redis, which then misses what lies across the date line; -180° is the same place. */
const longitude = (degrees: number): string => {
  const text = decimal(degrees);
  return Number(text) >= 180 ? '-180' : text;
};

const numbers = (reply: unknown): number[] => (Array.isArray(reply) ? reply.map(Number) : []);

function readOutcome(code: number | undefined, previous: number): RecordOutcome {
  switch (code) {
    case recordCode.stored:
    case recordCode.storedRecheck:
      return {
        kind: 'stored',
        previousMs: previous < 0 ? undefined : previous,
        recheck: code === recordCode.storedRecheck,
      };
    case recordCode.outdated:
    case recordCode.outdatedRecheck:
      return { kind: 'outdated', previousMs: previous, recheck: code === recordCode.outdatedRecheck };
    case recordCode.offline:
      return { kind: 'offline' };
    default:
      return { kind: 'unknown' };
  }
}

function readFound(driverId: string, fix: string, product: Product, from: LatLng): FoundDriver {
  const [recordedAtMs = 0, lat = 0, lng = 0] = fix.split(':').map(Number);
  const point = { lat, lng };
  // The member came from us as a DriverId.
  const id = driverId as DriverId;
  return { driverId: id, product, point, recordedAtMs, distanceMetres: distanceMetres(from, point) };
}
