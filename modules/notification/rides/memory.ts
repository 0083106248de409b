import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import { endedTtlMs, type RideNews, type Rides, rideTtlMs } from './rides.ts';

export function createMemoryRides(clock: Clock): Rides {
  const newest = new Map<DriverId, RideNews & { expiresAtMs: number }>();

  return {
    async note(news) {
      const known = find(news.driverId);
      if (known !== undefined && !isNewer(news, known)) return;
      const ttlMs = news.riderId === undefined ? endedTtlMs : rideTtlMs;
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

const isNewer = (news: RideNews, known: RideNews): boolean =>
  news.tripId === known.tripId ? news.version > known.version : news.atMs >= known.atMs;
