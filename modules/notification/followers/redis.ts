import { asPersonId, type DriverId, RiderIdSchema, TripIdSchema } from '@contracts/ids.ts';
import { createScript, type Redis } from '@platform/redis/connection.ts';
import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { NotificationKeys } from '../keys.ts';
import { endedTripTtlMs, followerTtlMs, type TripFollower, type TripFollowers } from './trip-followers.ts';

// KEYS: the follower's hash. ARGV: trip, version, at, rider ('' once the trip ended), ttl.
const recordScript = `
  local known = redis.call('HMGET', KEYS[1], 'trip', 'version', 'at')
  if known[1] then
    if known[1] == ARGV[1] then
      if tonumber(ARGV[2]) <= tonumber(known[2]) then return 0 end
    elseif tonumber(ARGV[3]) < tonumber(known[3]) then return 0 end
  end
  redis.call('HSET', KEYS[1], 'trip', ARGV[1], 'version', ARGV[2], 'at', ARGV[3], 'rider', ARGV[4])
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  return 1`;

const StoredFollower = Type.Tuple([TripIdSchema, RiderIdSchema]);
const isStoredFollower = TypeCompiler.Compile(StoredFollower);

export function createRedisTripFollowers(redis: Redis, keys: NotificationKeys): TripFollowers {
  const runRecord = createScript(redis, recordScript);

  return {
    async record({ driverId, tripId, version, atMs, riderId }) {
      const ttlMs = riderId === undefined ? endedTripTtlMs : followerTtlMs;
      await runRecord([keys.ride(driverId)], [tripId, version, atMs, riderId ?? '', ttlMs]);
    },
    async find(driverIds) {
      // One pipeline; the connection returns the results in order.
      const rows: unknown[] = await Promise.all(
        driverIds.map((driverId) => redis.hmget(keys.ride(driverId), 'trip', 'rider')),
      );
      return driverIds.flatMap((driverId, index) => {
        const row = rows[index];
        return isStoredFollower.Check(row) ? [followerOf(driverId, row)] : [];
      });
    },
  };
}

const followerOf = (driverId: DriverId, [tripId, riderId]: Static<typeof StoredFollower>): TripFollower => ({
  driverId,
  tripId,
  riderId: asPersonId(riderId),
});
