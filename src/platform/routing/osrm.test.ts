import { afterAll, beforeEach, expect, test } from 'bun:test';
import { createLog } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import { createOsrmRouter } from './osrm.ts';
import { createStraightLineRouter } from './router.ts';

// About 9.3 km apart in a straight line.
const pickup = { lat: 10.7769, lng: 106.7009 };
const dropoff = { lat: 10.8231, lng: 106.6297 };
const atMs = Date.UTC(2026, 10, 22, 8);
const straight = createStraightLineRouter('Asia/Ho_Chi_Minh');
const good = { distance: 11_876.5, duration: 1_234.4 };

type Answer = () => Response | Promise<Response>;
let requests: URL[] = [];
let answer: Answer;
let metrics: Metrics;
const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  fetch: (request) => {
    requests.push(new URL(request.url));
    return answer();
  },
});
afterAll(() => server.stop(true));
beforeEach(() => {
  requests = [];
  metrics = createMetrics();
});

const router = (url = `http://127.0.0.1:${server.port}`) =>
  createOsrmRouter({
    url,
    timeoutMs: 200,
    snapMetresMax: 300,
    fallback: straight,
    log: createLog('silent'),
    metrics,
  });

/** A response of OSRM with this route, and the distances of both points from a road. */
const respondWithRoute =
  (route: unknown, snaps: unknown[] = [4.2, 17]): Answer =>
  () =>
    Response.json({
      code: 'Ok',
      routes: [route],
      waypoints: snaps.map((distance) => ({ name: '', location: [106.7, 10.7], distance })),
    });
const respondWithError =
  (code: string): Answer =>
  () =>
    Response.json({ code, message: 'no' }, { status: 400 });

test('the request has longitude first and a radius for each point, and the route is rounded', async () => {
  answer = respondWithRoute(good);
  expect(await router().route(pickup, dropoff, atMs)).toEqual({
    distanceMetres: 11_877,
    durationSeconds: 1_234,
  });
  expect(requests.map(({ pathname }) => pathname)).toEqual([
    '/route/v1/driving/106.700900,10.776900;106.629700,10.823100',
  ]);
  expect(requests[0]?.searchParams.get('radiuses')).toBe('300;300');
  expect(metrics.text()).not.toContain('route_estimates_total');
});

test.each<[string, string, Answer]>([
  ['8 km snapped to 500 m', 'far_snap', respondWithRoute({ distance: 500, duration: 60 }, [4_100, 3_500])],
  ['one far snap', 'far_snap', respondWithRoute(good, [2, 301])],
  ['500 m without a snap', 'too_short', respondWithRoute({ distance: 500, duration: 60 }, [0, 0])],
  ['no distance at all', 'too_short', respondWithRoute({ distance: 0, duration: 0 })],
  ['a route around the world', 'too_long', respondWithRoute({ distance: 4e7, duration: 4e6 })],
  ['no time', 'too_fast', respondWithRoute({ ...good, duration: 0 })],
  ['200 km/h', 'too_fast', respondWithRoute({ ...good, duration: 213 })],
  ['30,000 years', 'too_slow', respondWithRoute({ ...good, duration: 1e12 })],
  ['a negative time', 'malformed', respondWithRoute({ ...good, duration: -5 })],
  ['a time that is null', 'malformed', respondWithRoute({ ...good, duration: null })],
  ['a time that is text', 'malformed', respondWithRoute({ ...good, duration: '1234' })],
  ['a time beyond all numbers', 'malformed', () => new Response(overflow)],
  ['no waypoints', 'malformed', () => Response.json({ code: 'Ok', routes: [good] })],
  ['a snap that is text', 'malformed', respondWithRoute(good, ['4', 4])],
  ['no routes', 'malformed', () => Response.json({ code: 'Ok', routes: [], waypoints: [] })],
  ['null', 'malformed', () => Response.json(null)],
  ['a list', 'malformed', () => Response.json([])],
  ['a web page', 'malformed', () => new Response('<html>Welcome</html>')],
  ['an empty failure', 'malformed', () => new Response('', { status: 502 })],
  ['megabytes', 'malformed', () => new Response('['.repeat(2_000_000))],
  ['NoRoute', 'no_route', respondWithError('NoRoute')],
  ['NoSegment', 'no_segment', respondWithError('NoSegment')],
  ['another refusal', 'refused', respondWithError('InvalidQuery')],
  ['a redirect', 'unreachable', () => Response.redirect('http://127.0.0.1:1/')],
  ['nothing', 'unreachable', () => new Promise<Response>(() => undefined)],
  ['a body that never ends', 'unreachable', () => new Response(endless())],
])('when OSRM answers with %s, the estimate is used and counted as %s', async (_, reason, response) => {
  answer = response;
  expect(await router().route(pickup, dropoff, atMs)).toEqual(await straight.route(pickup, dropoff, atMs));
  expect(metrics.text()).toContain(`route_estimates_total{reason="${reason}"} 1\n`);
});

const overflow =
  '{"code":"Ok","routes":[{"distance":11876,"duration":1e999}],"waypoints":[{"distance":1},{"distance":1}]}';
const endless = () =>
  new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode('{"code":')),
  });

test('without OSRM the estimate is used', async () => {
  const alone = router('http://127.0.0.1:1');
  expect(await alone.route(pickup, dropoff, atMs)).toEqual(await straight.route(pickup, dropoff, atMs));
  expect(metrics.text()).toContain('route_estimates_total{reason="unreachable"} 1\n');
});

test('a hanging OSRM keeps at most 64 requests in flight', async () => {
  answer = () => new Promise<Response>(() => undefined);
  const waiting = router();
  await Promise.all(Array.from({ length: 80 }, () => waiting.route(pickup, dropoff, atMs)));
  expect(requests).toHaveLength(64);
  expect(metrics.text()).toContain('route_estimates_total{reason="busy"} 16\n');
  expect(metrics.text()).toContain('route_estimates_total{reason="unreachable"} 64\n');
});

test('points at the date line and close to zero are sent as plain decimals, and their route is accepted', async () => {
  answer = respondWithRoute({ distance: 60, duration: 8 }, [0.4, 0.2]);
  const route = { distanceMetres: 60, durationSeconds: 8 };
  expect(await router().route({ lat: -16.8, lng: 179.9999 }, { lat: -16.8, lng: -179.9997 }, atMs)).toEqual(
    route,
  );
  expect(await router().route({ lat: 1e-7, lng: -2e-7 }, { lat: 0.0003, lng: 0.0002 }, atMs)).toEqual(route);
  expect(requests.map(({ pathname }) => pathname.split('/').at(-1))).toEqual([
    '179.999900,-16.800000;-179.999700,-16.800000',
    '-0.000000,0.000000;0.000200,0.000300',
  ]);
});

test('two equal points have a route of zero metres', async () => {
  answer = respondWithRoute({ distance: 0, duration: 0 }, [0, 0]);
  expect(await router().route(pickup, pickup, atMs)).toEqual({ distanceMetres: 0, durationSeconds: 0 });
});
