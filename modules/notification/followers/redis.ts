import { asPersonId, type DriverId, RiderIdSchema, TripIdSchema } from '@contracts/ids.ts';
import { createScript, type Redis } from '@platform/redis/connection.ts';
import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { NotificationKeys } from '../keys.ts';
import { endedTripTtlMs, followerTtlMs, type TripFollower, type TripFollowers } from './trip-followers.ts';

// KEYS: ride. ARGV: trip, version, at, rider ('' when it ended), ttl.
const noteScript = `
  local known = redis.call('HMGET', KEYS[1], 'trip', 'version', 'at')
  if known[1] then
    if known[1] == ARGV[1] then
      if tonumber(ARGV[2]) <= tonumber(known[2]) then return 0 end
    elseif tonumber(ARGV[3]) < tonumber(known[3]) then return 0 end
  end
  redis.call('HSET', KEYS[1], 'trip', ARGV[1], 'version', ARGV[2], 'at', ARGV[3], 'rider', ARGV[4])
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  return 1`;

const StoredRide = Type.Tuple([TripIdSchema, RiderIdSchema]);
const stored = TypeCompiler.Compile(StoredRide);

export function createRedisTripFollowers(redis: Redis, keys: NotificationKeys): TripFollowers {
  const note = createScript(redis, noteScript);

  return {
    async record({ driverId, tripId, version, atMs, riderId }) {
      const ttlMs = riderId === undefined ? endedTripTtlMs : followerTtlMs;
      await note([keys.ride(driverId)], [tripId, version, atMs, riderId ?? '', ttlMs]);
    },
    async find(driverIds) {
      // Sent in one go; the connection answers them in order.
      const found: unknown[] = await Promise.all(
        driverIds.map((driverId) => redis.hmget(keys.ride(driverId), 'trip', 'rider')),
      );
      return driverIds.flatMap((driverId, place) => {
        const one = found[place];
        return stored.Check(one) ? [rideOf(driverId, one)] : [];
      });
    },
  };
}

const rideOf = (driverId: DriverId, [tripId, riderId]: Static<typeof StoredRide>): TripFollower => ({
  driverId,
  tripId,
  riderId: asPersonId(riderId),
});
