import { distanceMetres, type LatLng } from '@contracts/geo.ts';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { Log } from './log.ts';

export interface Route {
  /** Along the road, whole metres. */
  distanceMetres: number;
  durationSeconds: number;
}

/** Road distance and driving time between two points, leaving at `atMs`. Never fails: it estimates instead. */
export interface Router {
  route(from: LatLng, to: LatLng, atMs: number): Promise<Route>;
}

/** Roads are longer than the straight line by about this much (grid cities: 1.27 on average). */
const detour = 1.3;

/** Mean driving speed by local hour, metres per second: nights are fast, the two rush hours slow. */
const speedByHour = [
  9.5, 9.8, 10, 10, 9.8, 9, 8, 6.8, 6.2, 6.4, 6.8, 6.8, 6.6, 6.6, 6.6, 6.4, 6, 5.6, 5.8, 6.6, 7.4, 8, 8.6, 9,
];
const speedMean = 7.5;

/** Great-circle distance × detour ÷ speed by hour. `utcOffsetHours` is the city's. */
export function createStraightRouter(utcOffsetHours: number): Router {
  return {
    async route(from, to, atMs) {
      const metres = Math.round(distanceMetres(from, to) * detour);
      const hour = (((Math.floor(atMs / 3_600_000) + utcOffsetHours) % 24) + 24) % 24;
      const speed = speedByHour[hour] ?? speedMean;
      return { distanceMetres: metres, durationSeconds: Math.round(metres / speed) };
    },
  };
}

const OsrmAnswer = Type.Object({
  routes: Type.Array(
    Type.Object({ distance: Type.Number({ minimum: 0 }), duration: Type.Number({ minimum: 0 }) }),
    {
      minItems: 1,
    },
  ),
});

/** OSRM's `/route/v1/driving`; `fallback` answers when OSRM does not within `timeoutMs`. */
export function createOsrmRouter(url: string, timeoutMs: number, fallback: Router, log: Log): Router {
  return {
    async route(from, to, atMs) {
      const points = `${from.lng},${from.lat};${to.lng},${to.lat}`;
      try {
        const response = await fetch(`${url}/route/v1/driving/${points}?overview=false`, {
          signal: AbortSignal.timeout(timeoutMs),
        });
        const { routes } = Value.Parse(OsrmAnswer, await response.json());
        const [best] = routes;
        if (best !== undefined) {
          return { distanceMetres: Math.round(best.distance), durationSeconds: Math.round(best.duration) };
        }
      } catch (error) {
        log.warn({ err: error }, 'OSRM did not answer; the straight-line estimate stands in');
      }
      return fallback.route(from, to, atMs);
    },
  };
}
