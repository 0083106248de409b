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
  /** How far from a road a point may be. */
  snapMetresMax: number;
  /** Answers whenever OSRM does not, or is not believed. */
  fallback: RoadRouter;
  log: Log;
  metrics: Metrics;
}

/** Why OSRM's answer was not taken: the label of `route_estimates_total`. */
export type FallbackReason =
  | ImplausibleReason
  /** No road joins the two points. */
  | 'no_route'
  /** No road is near one of the points. */
  | 'no_segment'
  /** Not an answer of OSRM, or larger than any. */
  | 'malformed'
  /** OSRM refused the question for another reason. */
  | 'refused'
  /** No connection, or no answer in time. */
  | 'unreachable'
  /** Too many questions are waiting for OSRM. */
  | 'busy';

/** An answer without geometry is some 500 bytes. */
const answerBytesMax = 65_536;
/** What a slow OSRM can keep waiting; of 256 requests that Bun has in flight at most, others need some too. */
const inFlightMax = 64;

const Refusal = TypeCompiler.Compile(Type.Object({ code: Type.String() }));
const Answer = TypeCompiler.Compile(
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
 * OSRM's `/route/v1/driving` (OSRM API v5). OSRM moves points to the nearest road however far it is, so its
 * answer counts only if both points were near a road and the route can have been driven.
 */
export function createOsrmRouter(options: OsrmRouterOptions): RoadRouter {
  const { url, timeoutMs, snapMetresMax, fallback, log, metrics } = options;
  const radiuses = `${snapMetresMax};${snapMetresMax}`;
  let inFlight = 0;

  return {
    async route(from, to, atMs) {
      const answer = inFlight < inFlightMax ? await ask(from, to) : 'busy';
      if (typeof answer !== 'string') return answer;
      metrics.count('route_estimates_total', { reason: answer });
      return fallback.route(from, to, atMs);
    },
  };

  async function ask(from: LatLng, to: LatLng): Promise<RoadRoute | FallbackReason> {
    inFlight++;
    try {
      const response = await fetch(
        `${url}/route/v1/driving/${coordinates(from)};${coordinates(to)}?overview=false&radiuses=${radiuses}`,
        { signal: AbortSignal.timeout(timeoutMs), redirect: 'error' },
      );
      const text = await readText(response, answerBytesMax);
      return text === undefined ? 'malformed' : judge(text, from, to);
    } catch (error) {
      log.warn({ err: error }, 'OSRM did not answer, using the straight-line estimate');
      return 'unreachable';
    } finally {
      inFlight--;
    }
  }

  function judge(text: string, from: LatLng, to: LatLng): RoadRoute | FallbackReason {
    const answer = parseJson(text);
    if (!Answer.Check(answer)) return refusalOf(answer);
    const [best] = answer.routes;
    if (best === undefined) return 'malformed';
    const snapMetres = Math.max(...answer.waypoints.map(({ distance }) => distance));
    const refused = checkPlausibility(
      { distanceMetres: best.distance, durationSeconds: best.duration, snapMetres },
      { straightMetres: distanceMetres(from, to), snapMetresMax },
    );
    if (refused === undefined)
      return { distanceMetres: Math.round(best.distance), durationSeconds: Math.round(best.duration) };
    log.debug({ reason: refused, ...best, snapMetres }, 'OSRM answered with a route that is not believed');
    return refused;
  }
}

/** Six digits are 11 cm; never an exponent, which OSRM does not read. */
const coordinates = ({ lat, lng }: LatLng) => `${lng.toFixed(6)},${lat.toFixed(6)}`;

function refusalOf(answer: unknown): FallbackReason {
  if (!Refusal.Check(answer) || answer.code === 'Ok') return 'malformed';
  if (answer.code === 'NoRoute') return 'no_route';
  return answer.code === 'NoSegment' ? 'no_segment' : 'refused';
}

/** The body as text; undefined when it is larger than `bytesMax`. */
async function readText(response: Response, bytesMax: number): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    // Leaving the loop cancels the rest.
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
