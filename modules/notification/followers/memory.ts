import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import { endedTripTtlMs, type FollowerUpdate, followerTtlMs, type TripFollowers } from './trip-followers.ts';

export function createMemoryTripFollowers(clock: Clock): TripFollowers {
  const latestByDriver = new Map<DriverId, FollowerUpdate & { expiresAtMs: number }>();

  return {
    async record(update) {
      const latest = find(update.driverId);
      if (latest !== undefined && !isNewer(update, latest)) return;
      const ttlMs = update.riderId === undefined ? endedTripTtlMs : followerTtlMs;
      latestByDriver.set(update.driverId, { ...update, expiresAtMs: clock.nowMs() + ttlMs });
    },
    async find(driverIds) {
      return driverIds.flatMap((driverId) => {
        const { tripId, riderId } = find(driverId) ?? {};
        return tripId === undefined || riderId === undefined ? [] : [{ driverId, tripId, riderId }];
      });
    },
  };

  function find(driverId: DriverId) {
    const latest = latestByDriver.get(driverId);
    if (latest === undefined || latest.expiresAtMs > clock.nowMs()) return latest;
    latestByDriver.delete(driverId);
    return undefined;
  }
}

const isNewer = (update: FollowerUpdate, latest: FollowerUpdate): boolean =>
  update.tripId === latest.tripId ? update.version > latest.version : update.atMs >= latest.atMs;
