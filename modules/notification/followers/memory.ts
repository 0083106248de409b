import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import { endedTripTtlMs, type FollowerUpdate, followerTtlMs, type TripFollowers } from './trip-followers.ts';

export function createMemoryTripFollowers(clock: Clock): TripFollowers {
  const newest = new Map<DriverId, FollowerUpdate & { expiresAtMs: number }>();

  return {
    async record(news) {
      const known = find(news.driverId);
      if (known !== undefined && !isNewer(news, known)) return;
      const ttlMs = news.riderId === undefined ? endedTripTtlMs : followerTtlMs;
      newest.set(news.driverId, { ...news, expiresAtMs: clock.nowMs() + ttlMs });
    },
    async find(driverIds) {
      return driverIds.flatMap((driverId) => {
        const { tripId, riderId } = find(driverId) ?? {};
        return tripId === undefined || riderId === undefined ? [] : [{ driverId, tripId, riderId }];
      });
    },
  };

  function find(driverId: DriverId) {
    const known = newest.get(driverId);
    if (known === undefined || known.expiresAtMs > clock.nowMs()) return known;
    newest.delete(driverId);
    return undefined;
  }
}

const isNewer = (news: FollowerUpdate, known: FollowerUpdate): boolean =>
  news.tripId === known.tripId ? news.version > known.version : news.atMs >= known.atMs;
