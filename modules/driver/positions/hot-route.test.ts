import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { formatTimestamp, headers } from '@contracts/common.ts';
import type { DriverId } from '@contracts/ids.ts';
import { createHotServerRoute } from '@platform/http/hot-routes.ts';
import { createRequestLifecycle } from '@platform/http/request-lifecycle.ts';
import { type HttpServer, serve } from '@platform/http/server.ts';
import { createLog } from '@platform/log.ts';
import { until } from '@testing/until.ts';
import { createTestDriver, type TestDriver } from '../testing/harness.ts';

// `PUT /v1/drivers/me/location` answers identically through the hot route and through the framework.

const path = '/v1/drivers/me/location';
const place = { lat: 10.772112, lng: 106.698256 };
const bodyBytesMax = 65_536;
let driver: TestDriver;
const servers: Record<'hot' | 'framework', HttpServer | undefined> = { hot: undefined, framework: undefined };
const routeKinds = ['hot', 'framework'] as const;

beforeAll(async () => {
  driver = await createTestDriver();
  const { clock, ids, metrics, tokens, context, fetch } = driver;
  const lifecycle = createRequestLifecycle({
    service: 'driver',
    clock,
    log: createLog('silent'),
    metrics,
    bodyBytesMax,
  });
  const hot = context.hotRoutes.map((route) =>
    createHotServerRoute(route, { lifecycle, verifier: tokens.verifier, ids, clock, accessLog: false }),
  );
  const options = {
    fetch,
    sockets: [],
    hostname: '127.0.0.1',
    port: 0,
    requestTimeoutMs: 5_000,
    bodyBytesMax,
    frameBytesMax: 1_000,
    socketBufferBytesMax: 16_384,
  };
  servers.hot = serve({ ...options, routes: hot });
  servers.framework = serve(options);
});
afterAll(async () => {
  await servers.hot?.stop(0);
  await servers.framework?.stop(0);
  await driver.close();
});

interface RequestParts {
  body?: unknown;
  text?: string | ReadableStream;
  authorization?: string;
  headers?: Record<string, string>;
}

async function put(kind: (typeof routeKinds)[number], driverId: DriverId, parts: RequestParts) {
  const { authorization } = driver.tokens.bearer(driverId, 'driver');
  const response = await fetch(`${servers[kind]?.url}${path}`, {
    method: 'PUT',
    headers: {
      'content-type': 'application/json',
      authorization: parts.authorization ?? authorization,
      ...parts.headers,
    },
    body: parts.text ?? JSON.stringify(parts.body),
  });
  const text = await response.text();
  const { code, errors } = text === '' ? {} : JSON.parse(text);
  const comparedHeaders = ['content-type', 'retry-after', 'www-authenticate', 'cache-control'];
  const headerValues = comparedHeaders.map((name) => response.headers.get(name));
  return {
    status: response.status,
    code,
    errors,
    headerValues,
    requestId: response.headers.get(headers.requestId),
  };
}

async function findStoredPoint(driverId: DriverId) {
  const query = { point: place, limit: 50, radiusMetresMax: 50_000, excluding: [] };
  return (await driver.index.nearest(query)).find((driver) => driver.driverId === driverId)?.point;
}

describe.each(routeKinds)('a valid position through the %s route', (kind) => {
  test('is stored before the 204, which has the request id given by the edge', async () => {
    const driverId = await driver.createAvailableDriver();
    const parts = { body: place, headers: { [headers.requestId]: 'chosen-by-the-edge' } };
    expect(await put(kind, driverId, parts)).toMatchObject({ status: 204, requestId: 'chosen-by-the-edge' });
    expect(await findStoredPoint(driverId)).toEqual(place);
  });

  test('is counted by route and status', async () => {
    const driverId = await driver.createAvailableDriver();
    const series = `http_request_duration_ms_count{service="driver",route="${path}",status="204"}`;
    const counted = () => Number(driver.metrics.text().split(`${series} `)[1]?.split('\n')[0] ?? 0);
    const before = counted();
    await put(kind, driverId, { body: place });
    await until(() => counted() === before + 1);
  });
});

const at = (offsetMs: number) => formatTimestamp(driver.clock.nowMs() + offsetMs);
const bearer = (...as: Parameters<TestDriver['tokens']['token']>) => `Bearer ${driver.tokens.token(...as)}`;

test.each<[string, () => RequestParts, number, string]>([
  ['NaN', () => ({ text: '{"lat":NaN,"lng":106.7}' }), 400, 'request.malformed'],
  ['a body that is not JSON', () => ({ text: 'lat=10&lng=106' }), 400, 'request.malformed'],
  ['a truncated body', () => ({ text: '{"lat":10.7,' }), 400, 'request.malformed'],
  ['an empty body', () => ({ text: '' }), 400, 'request.invalid'],
  ['coordinates as strings', () => ({ body: { lat: '10.7', lng: '106.6' } }), 400, 'request.invalid'],
  ['an empty object', () => ({ body: {} }), 400, 'request.invalid'],
  ['null', () => ({ body: null }), 400, 'request.invalid'],
  ['swapped coordinates', () => ({ body: { lat: place.lng, lng: place.lat } }), 400, 'request.invalid'],
  ['a longitude out of range', () => ({ body: { ...place, lng: 180.5 } }), 400, 'request.invalid'],
  ['an infinite number', () => ({ text: '{"lat":1e999,"lng":106.7}' }), 400, 'request.invalid'],
  ['a negative accuracy', () => ({ body: { ...place, accuracyMetres: -1 } }), 400, 'request.invalid'],
  ['an invalid time', () => ({ body: { ...place, recordedAt: 'now' } }), 400, 'request.invalid'],
  ['a list of points', () => ({ body: Array(1_000).fill(place) }), 400, 'request.invalid'],
  ['another driver’s id', () => ({ body: { ...place, driverId: driver.ids() } }), 400, 'request.invalid'],
  ['a prototype', () => ({ text: '{"lat":10,"lng":106,"__proto__":{}}' }), 400, 'request.invalid'],
  ['a point near the pole', () => ({ body: { ...place, lat: 89 } }), 422, 'position.out_of_range'],
  [
    'a month that does not exist',
    () => ({ body: { ...place, recordedAt: '2026-13-45T00:00:00Z' } }),
    400,
    'position.time_invalid',
  ],
  ['a point in the future', () => ({ body: { ...place, recordedAt: at(60_000) } }), 422, 'position.future'],
  [
    'a point that is too old',
    () => ({ body: { ...place, recordedAt: at(-3_600_000) } }),
    422,
    'position.stale',
  ],
  [
    'a body above the size limit',
    () => ({ text: `{"lat":10${' '.repeat(bodyBytesMax)}}` }),
    413,
    'request.too_large',
  ],
  [
    'a deadline that has passed',
    () => ({ body: place, headers: { [headers.deadline]: '1' } }),
    504,
    'request.deadline_passed',
  ],
  ['no token', () => ({ body: place, authorization: '' }), 401, 'auth.token_missing'],
  [
    'another authentication scheme',
    () => ({ body: place, authorization: 'Basic abc' }),
    401,
    'auth.token_missing',
  ],
  [
    'a forged token',
    () => ({ body: place, authorization: `${bearer(driver.ids(), 'driver')}x` }),
    401,
    'auth.token_invalid',
  ],
  [
    'an expired token',
    () => ({ body: place, authorization: bearer(driver.ids(), 'driver', { expiresInSeconds: -1 }) }),
    401,
    'auth.token_expired',
  ],
  [
    'the token of a rider',
    () => ({ body: place, authorization: bearer(driver.ids(), 'rider') }),
    403,
    'auth.role_forbidden',
  ],
])(
  '%s is rejected by both routes with the same response, and nothing is stored',
  async (_, make, status, code) => {
    const driverId = await driver.createAvailableDriver();
    const [hot, framework] = [await put('hot', driverId, make()), await put('framework', driverId, make())];
    expect([hot.status, hot.code]).toEqual([status, code]);
    expect({ ...hot, requestId: '' }).toEqual({ ...framework, requestId: '' });
    expect(await findStoredPoint(driverId)).toBeUndefined();
  },
);

test('both routes answer 409 for an offline driver', async () => {
  const driverId = driver.ids<DriverId>();
  for (const kind of routeKinds)
    expect(await put(kind, driverId, { body: place })).toMatchObject({ status: 409, code: 'driver.offline' });
});

test('both routes answer 503 with Retry-After while the index is unavailable', async () => {
  const driverId = await driver.createAvailableDriver();
  const { record } = driver.index;
  driver.index.record = () =>
    Promise.reject(Object.assign(new Error('unavailable'), { code: 'ECONNREFUSED' }));
  for (const kind of routeKinds) {
    const answer = await put(kind, driverId, { body: place });
    expect([answer.status, answer.code, answer.headerValues[1]]).toEqual([503, 'service.unavailable', '1']);
  }
  driver.index.record = record;
});

test('other methods on the path of a hot route are handled by the framework', async () => {
  const { authorization } = driver.tokens.bearer(driver.ids<DriverId>(), 'driver');
  const answer = await fetch(`${servers.hot?.url}${path}`, { headers: { authorization } });
  expect(answer.status).toBe(404);
});
