import type { Candidate, CandidateQuery, NearbyDrivers, Product } from '@contracts/drivers.ts';
import { distanceMetres, type LatLng } from '@contracts/geo.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { DriverAvailability, PositionIndex } from './index.ts';

export interface DriverSearchDeps {
  index: PositionIndex;
  /** Loads the drivers' availability from the database. */
  loadAvailabilities: (driverIds: readonly DriverId[]) => Promise<DriverAvailability[]>;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  candidateRadiusMetresMax: number;
  nearbyRadiusMetresMax: number;
}

export type DriverSearch = ReturnType<typeof createDriverSearch>;

export interface NearbyOptions extends LatLng {
  product?: Product | undefined;
  limit?: number | undefined;
}

const nearbyLimitDefault = 10;
// Each round asks the index to replace drivers who are not available according to the database.
const candidateRoundsMax = 3;

/** Searches the live positions: for people who look at the map, and for trips that need a driver. */
export function createDriverSearch(deps: DriverSearchDeps) {
  const { index, loadAvailabilities, clock, log, metrics } = deps;

  return {
    /**
     * Available drivers around a point, for anybody to see. The result has no ids, and each distance is
     * measured to the rounded point: three exact distances would reveal the exact position.
     */
    async findNearby({
      lat,
      lng,
      product,
      limit = nearbyLimitDefault,
    }: NearbyOptions): Promise<NearbyDrivers> {
      const point = { lat, lng };
      const radiusMetresMax = deps.nearbyRadiusMetresMax;
      const found = await index.nearest({ point, product, limit, radiusMetresMax, excluding: [] });
      const drivers = found.map((driver) => {
        const position = { lat: round(driver.point.lat), lng: round(driver.point.lng) };
        return {
          position,
          distanceMetres: Math.round(distanceMetres(point, position)),
          product: driver.product,
          ageSeconds: Math.max(0, Math.round((clock.nowMs() - driver.recordedAtMs) / 1000)),
        };
      });
      return { drivers: drivers.sort((a, b) => a.distanceMetres - b.distanceMetres) };
    },

    /**
     * Drivers whom a trip may offer itself to, nearest first. The index finds them and the database
     * confirms them: it knows at once that a driver went offline or got a trip, the index learns it a moment
     * later. The hold decides whether a driver is still available when the offer is made.
     */
    async findCandidates({ pickup, product, limit, excluding }: CandidateQuery): Promise<Candidate[]> {
      const chosen: Candidate[] = [];
      const excluded = [...excluding];
      for (let round = 0; round < candidateRoundsMax && chosen.length < limit; round++) {
        const found = await index.nearest({
          point: pickup,
          product,
          limit: limit - chosen.length,
          radiusMetresMax: deps.candidateRadiusMetresMax,
          excluding: excluded,
        });
        if (found.length === 0) break;
        const availabilities = await loadAvailabilities(found.map(({ driverId }) => driverId));
        const unavailable = availabilities.filter(
          (driver) => driver.availability !== 'available' || driver.product !== product,
        );
        for (const { driverId, point: position, distanceMetres } of found) {
          const isAvailable = !unavailable.some((driver) => driver.driverId === driverId);
          if (isAvailable) chosen.push({ driverId, position, distanceMetres });
        }
        if (unavailable.length === 0) break;
        excluded.push(...found.map(({ driverId }) => driverId));
        metrics.count('driver_candidates_refuted_total', {}, unavailable.length);
        await index
          .setAvailabilities(unavailable)
          .catch((error: unknown) => log.warn({ err: error }, 'failed to correct the position index'));
      }
      return chosen;
    },
  };
}

/** Rounds to 4 decimals, which is about 11 m. */
const round = (degrees: number): number => Math.round(degrees * 10_000) / 10_000;
