import { distanceMetres, type LatLng } from '@contracts/geo.ts';
import { Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { checkPlausibility, type ImplausibleReason } from './plausibility.ts';
import type { RoadRoute, RoadRouter } from './router.ts';

export interface OsrmRouterOptions {
  url: string;
  timeoutMs: number;
  /** The farthest that a point may be from a road. */
  snapMetresMax: number;
  /** Used whenever OSRM does not answer or its route is implausible. */
  fallback: RoadRouter;
  log: Log;
  metrics: Metrics;
}

/** Why the fallback was used instead of OSRM: the label `reason` of `route_estimates_total`. */
export type FallbackReason =
  | ImplausibleReason
  /** No road connects the two points. */
  | 'no_route'
  /** No road is near one of the points. */
  | 'no_segment'
  /** Not a valid OSRM response, or too large. */
  | 'malformed'
  /** OSRM rejected the request for another reason. */
  | 'refused'
  /** No connection, or no response in time. */
  | 'unreachable'
  /** Too many requests to OSRM are in flight. */
  | 'busy';

/** A response without geometry has about 500 bytes. */
const responseBytesMax = 65_536;
/** Bounds the requests that a slow OSRM keeps in flight: Bun allows 256 at a time for the whole process. */
const inFlightMax = 64;

const ErrorResponse = TypeCompiler.Compile(Type.Object({ code: Type.String() }));
const RouteResponse = TypeCompiler.Compile(
  Type.Object({
    code: Type.Literal('Ok'),
    routes: Type.Array(
      Type.Object({ distance: Type.Number({ minimum: 0 }), duration: Type.Number({ minimum: 0 }) }),
      { minItems: 1 },
    ),
    waypoints: Type.Array(Type.Object({ distance: Type.Number({ minimum: 0 }) }), {
      minItems: 2,
      maxItems: 2,
    }),
  }),
);

/**
 * Routes by OSRM's `/route/v1/driving` (OSRM API v5). OSRM moves points to the nearest road however far away it is, so
 * its route is used only if both points were near a road and the route is plausible.
 */
export function createOsrmRouter(options: OsrmRouterOptions): RoadRouter {
  const { url, timeoutMs, snapMetresMax, fallback, log, metrics } = options;
  const radiuses = `${snapMetresMax};${snapMetresMax}`;
  let inFlight = 0;

  return {
    async route(from, to, atMs) {
      const result = inFlight < inFlightMax ? await fetchRoute(from, to) : 'busy';
      if (typeof result !== 'string') return result;
      metrics.count('route_estimates_total', { reason: result });
      return fallback.route(from, to, atMs);
    },
  };

  async function fetchRoute(from: LatLng, to: LatLng): Promise<RoadRoute | FallbackReason> {
    inFlight++;
    try {
      const response = await fetch(
        `${url}/route/v1/driving/${coordinates(from)};${coordinates(to)}?overview=false&radiuses=${radiuses}`,
        { signal: AbortSignal.timeout(timeoutMs), redirect: 'error' },
      );
      const text = await readText(response, responseBytesMax);
      return text === undefined ? 'malformed' : parseRoute(text, from, to);
    } catch (error) {
      log.warn({ err: error }, 'osrm request failed, using the straight-line estimate');
      return 'unreachable';
    } finally {
      inFlight--;
    }
  }

  function parseRoute(text: string, from: LatLng, to: LatLng): RoadRoute | FallbackReason {
    const response = parseJson(text);
    if (!RouteResponse.Check(response)) return errorReasonOf(response);
    const [best] = response.routes;
    if (best === undefined) return 'malformed';
    const snapMetres = Math.max(...response.waypoints.map(({ distance }) => distance));
    const implausible = checkPlausibility(
      { distanceMetres: best.distance, durationSeconds: best.duration, snapMetres },
      { straightMetres: distanceMetres(from, to), snapMetresMax },
    );
    if (implausible === undefined)
      return { distanceMetres: Math.round(best.distance), durationSeconds: Math.round(best.duration) };
    log.debug({ reason: implausible, ...best, snapMetres }, 'osrm returned an implausible route');
    return implausible;
  }
}

/** Six digits are 11 cm. `toFixed` never writes an exponent, which OSRM cannot parse. */
const coordinates = ({ lat, lng }: LatLng) => `${lng.toFixed(6)},${lat.toFixed(6)}`;

function errorReasonOf(response: unknown): FallbackReason {
  if (!ErrorResponse.Check(response) || response.code === 'Ok') return 'malformed';
  if (response.code === 'NoRoute') return 'no_route';
  return response.code === 'NoSegment' ? 'no_segment' : 'refused';
}

/** Reads the body as text. Returns undefined when it is larger than `bytesMax`. */
async function readText(response: Response, bytesMax: number): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    // Leaving the loop cancels the rest of the body.
    if (bytes > bytesMax) return undefined;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
