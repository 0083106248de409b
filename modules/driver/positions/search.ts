import type { Candidate, CandidateQuery, NearbyDrivers, Product } from '@contracts/drivers.ts';
import { distanceMetres, type LatLng } from '@contracts/geo.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { DriverStore } from '../store/drivers.ts';
import type { PositionIndex } from './index.ts';

export interface DriverSearchDeps {
  index: PositionIndex;
  store: DriverStore;
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

const nearbyDefault = 10;
// Each round asks the index for replacements of drivers who the database says are not available.
const candidateRoundsMax = 3;

/** Searches over the live positions: for people's eyes, and for trips that need a driver. */
export function createDriverSearch(options: DriverSearchDeps) {
  const { index, store, clock, log, metrics } = options;

  return {
    /**
     * Who is around, for everybody's eyes: nobody is named, and distances are those to the rounded
     * points, or three of them would give the true one away.
     */
    async findNearby({ lat, lng, product, limit = nearbyDefault }: NearbyOptions): Promise<NearbyDrivers> {
      const point = { lat, lng };
      const radiusMetresMax = options.nearbyRadiusMetresMax;
      const found = await index.nearest({ point, product, limit, radiusMetresMax, excluding: [] });
      const drivers = found.map((one) => {
        const position = { lat: rounded(one.point.lat), lng: rounded(one.point.lng) };
        return {
          position,
          distanceMetres: Math.round(distanceMetres(point, position)),
          product: one.product,
          ageSeconds: Math.max(0, Math.round((clock.nowMs() - one.recordedAtMs) / 1000)),
        };
      });
      return { drivers: drivers.sort((a, b) => a.distanceMetres - b.distanceMetres) };
    },

    /**
     * Whom a trip may ask, nearest first. The index finds them, and the database is asked what they are
     * now: it knows at once of a driver who went offline or got a trip, the index a moment later. What
     * they are when the offer is made is for the hold to say.
     */
    async findCandidates({ pickup, product, limit, excluding }: CandidateQuery): Promise<Candidate[]> {
      const chosen: Candidate[] = [];
      const passedBy = [...excluding];
      for (let round = 0; round < candidateRoundsMax && chosen.length < limit; round++) {
        const found = await index.nearest({
          point: pickup,
          product,
          limit: limit - chosen.length,
          radiusMetresMax: options.candidateRadiusMetresMax,
          excluding: passedBy,
        });
        if (found.length === 0) break;
        const known = await store.loadAvailabilities(found.map(({ driverId }) => driverId));
        const wrong = known.filter((one) => one.availability !== 'available' || one.product !== product);
        for (const { driverId, point: position, distanceMetres } of found) {
          const isRight = !wrong.some((one) => one.driverId === driverId);
          if (isRight) chosen.push({ driverId, position, distanceMetres });
        }
        if (wrong.length === 0) break;
        passedBy.push(...found.map(({ driverId }) => driverId));
        metrics.count('driver_candidates_refuted_total', {}, wrong.length);
        await index
          .setAvailabilities(wrong)
          .catch((error: unknown) => log.warn({ err: error }, 'the position index was not mended'));
      }
      return chosen;
    },
  };
}

/** 4 decimals: about 11 m. */
const rounded = (degrees: number): number => Math.round(degrees * 10_000) / 10_000;
