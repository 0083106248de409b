import { distanceMetres, type LatLng } from '@contracts/geo.ts';
import { createLocalHour } from '../local-hour.ts';

export interface RoadRoute {
  /** Distance along the road, in whole metres. */
  distanceMetres: number;
  durationSeconds: number;
}

/** Finds the road distance and driving time between two points for a departure at `atMs`. Never fails: it falls back to an estimate. */
export interface RoadRouter {
  route(from: LatLng, to: LatLng, atMs: number): Promise<RoadRoute>;
}

/** Roads are longer than the straight line by about this factor (1.27 on average in grid cities). */
const detour = 1.3;

/** Mean driving speed by local hour in metres per second: fast at night, slow in the two rush hours. */
const speedByHour = [
  9.5, 9.8, 10, 10, 9.8, 9, 8, 6.8, 6.2, 6.4, 6.8, 6.8, 6.6, 6.6, 6.6, 6.4, 6, 5.6, 5.8, 6.6, 7.4, 8, 8.6, 9,
];
const speedMean = 7.5;

/** Estimates routes as great-circle distance × detour, at the usual speed of the local hour. `timeZone` is an IANA name. */
export function createStraightLineRouter(timeZone: string): RoadRouter {
  const localHour = createLocalHour(timeZone);
  return {
    async route(from, to, atMs) {
      const metres = Math.round(distanceMetres(from, to) * detour);
      const speed = speedByHour[localHour(atMs)] ?? speedMean;
      return { distanceMetres: metres, durationSeconds: Math.round(metres / speed) };
    },
  };
}
