import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { formatTimestamp, headers } from '@contracts/common.ts';
import type { DriverId } from '@contracts/ids.ts';
import { createHotServerRoute } from '@platform/http/hot-routes.ts';
import { createRequestLifecycle } from '@platform/http/request-lifecycle.ts';
import { type HttpServer, serve } from '@platform/http/server.ts';
import { createLog } from '@platform/log.ts';
import { until } from '@testing/until.ts';
import { createTestDriver, type TestDriver } from '../testing/harness.ts';

// `PUT /v1/drivers/me/location` by the short way and by the framework: nobody can tell which it was.

const path = '/v1/drivers/me/location';
const place = { lat: 10.772112, lng: 106.698256 };
const bodyBytesMax = 65_536;
let driver: TestDriver;
const servers: Record<'hot' | 'framework', HttpServer | undefined> = { hot: undefined, framework: undefined };
const ways = ['hot', 'framework'] as const;

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

interface Sent {
  body?: unknown;
  text?: string | ReadableStream;
  authorization?: string;
  headers?: Record<string, string>;
}

async function put(way: (typeof ways)[number], driverId: DriverId, sent: Sent) {
  const { authorization } = driver.tokens.bearer(driverId, 'driver');
  const response = await fetch(`${servers[way]?.url}${path}`, {
    method: 'PUT',
    headers: {
      'content-type': 'application/json',
      authorization: sent.authorization ?? authorization,
      ...sent.headers,
    },
    body: sent.text ?? JSON.stringify(sent.body),
  });
  const text = await response.text();
  const { code, errors } = text === '' ? {} : JSON.parse(text);
  const heads = ['content-type', 'retry-after', 'www-authenticate', 'cache-control'];
  const told = heads.map((name) => response.headers.get(name));
  return { status: response.status, code, errors, told, requestId: response.headers.get(headers.requestId) };
}

async function storedPlace(driverId: DriverId) {
  const query = { point: place, limit: 50, radiusMetresMax: 50_000, excluding: [] };
  return (await driver.index.nearest(query)).find((one) => one.driverId === driverId)?.point;
}

describe.each(ways)('a good position, %s', (way) => {
  test('is stored before the 204, under the request id that the edge gave', async () => {
    const driverId = await driver.createAvailableDriver();
    const sent = { body: place, headers: { [headers.requestId]: 'chosen-by-the-edge' } };
    expect(await put(way, driverId, sent)).toMatchObject({ status: 204, requestId: 'chosen-by-the-edge' });
    expect(await storedPlace(driverId)).toEqual(place);
  });

  test('counts by route and status', async () => {
    const driverId = await driver.createAvailableDriver();
    const series = `http_request_duration_ms_count{service="driver",route="${path}",status="204"}`;
    const counted = () => Number(driver.metrics.text().split(`${series} `)[1]?.split('\n')[0] ?? 0);
    const before = counted();
    await put(way, driverId, { body: place });
    await until(() => counted() === before + 1);
  });
});

const at = (offsetMs: number) => formatTimestamp(driver.clock.nowMs() + offsetMs);
const bearer = (...as: Parameters<TestDriver['tokens']['token']>) => `Bearer ${driver.tokens.token(...as)}`;

test.each<[string, () => Sent, number, string]>([
  ['NaN', () => ({ text: '{"lat":NaN,"lng":106.7}' }), 400, 'request.malformed'],
  ['no JSON', () => ({ text: 'lat=10&lng=106' }), 400, 'request.malformed'],
  ['half of a body', () => ({ text: '{"lat":10.7,' }), 400, 'request.malformed'],
  ['an empty body', () => ({ text: '' }), 400, 'request.invalid'],
  ['strings', () => ({ body: { lat: '10.7', lng: '106.6' } }), 400, 'request.invalid'],
  ['nothing of a position', () => ({ body: {} }), 400, 'request.invalid'],
  ['null', () => ({ body: null }), 400, 'request.invalid'],
  ['swapped coordinates', () => ({ body: { lat: place.lng, lng: place.lat } }), 400, 'request.invalid'],
  ['a longitude out of range', () => ({ body: { ...place, lng: 180.5 } }), 400, 'request.invalid'],
  ['an infinite number', () => ({ text: '{"lat":1e999,"lng":106.7}' }), 400, 'request.invalid'],
  ['a negative accuracy', () => ({ body: { ...place, accuracyMetres: -1 } }), 400, 'request.invalid'],
  ['no time in the time', () => ({ body: { ...place, recordedAt: 'now' } }), 400, 'request.invalid'],
  ['a list of points', () => ({ body: Array(1_000).fill(place) }), 400, 'request.invalid'],
  ['another driver’s id', () => ({ body: { ...place, driverId: driver.ids() } }), 400, 'request.invalid'],
  ['a prototype', () => ({ text: '{"lat":10,"lng":106,"__proto__":{}}' }), 400, 'request.invalid'],
  ['a point near the pole', () => ({ body: { ...place, lat: 89 } }), 422, 'position.out_of_range'],
  [
    'a month that is none',
    () => ({ body: { ...place, recordedAt: '2026-13-45T00:00:00Z' } }),
    400,
    'position.time_invalid',
  ],
  ['a point of the future', () => ({ body: { ...place, recordedAt: at(60_000) } }), 422, 'position.future'],
  ['a point of the past', () => ({ body: { ...place, recordedAt: at(-3_600_000) } }), 422, 'position.stale'],
  [
    'more than a body may hold',
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
  ['no bearer', () => ({ body: place, authorization: 'Basic abc' }), 401, 'auth.token_missing'],
  [
    'a forged token',
    () => ({ body: place, authorization: `${bearer(driver.ids(), 'driver')}x` }),
    401,
    'auth.token_invalid',
  ],
  [
    'an old token',
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
])('%s is refused either way with the same answer, and nothing is stored', async (_, make, status, code) => {
  const driverId = await driver.createAvailableDriver();
  const [hot, framework] = [await put('hot', driverId, make()), await put('framework', driverId, make())];
  expect([hot.status, hot.code]).toEqual([status, code]);
  expect({ ...hot, requestId: '' }).toEqual({ ...framework, requestId: '' });
  expect(await storedPlace(driverId)).toBeUndefined();
});

test('a driver who is offline is told so either way', async () => {
  const driverId = driver.ids<DriverId>();
  for (const way of ways)
    expect(await put(way, driverId, { body: place })).toMatchObject({ status: 409, code: 'driver.offline' });
});

test('a part that is away is told as such either way, with Retry-After', async () => {
  const driverId = await driver.createAvailableDriver();
  const { record } = driver.index;
  driver.index.record = () => Promise.reject(Object.assign(new Error('away'), { code: 'ECONNREFUSED' }));
  for (const way of ways) {
    const answer = await put(way, driverId, { body: place });
    expect([answer.status, answer.code, answer.told[1]]).toEqual([503, 'service.unavailable', '1']);
  }
  driver.index.record = record;
});

test('other methods on the path of a hot route go to the framework', async () => {
  const { authorization } = driver.tokens.bearer(driver.ids<DriverId>(), 'driver');
  const answer = await fetch(`${servers.hot?.url}${path}`, { headers: { authorization } });
  expect(answer.status).toBe(404);
});
