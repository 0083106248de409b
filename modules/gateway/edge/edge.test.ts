import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { PersonId } from '@contracts/ids.ts';
import { systemClock } from '@platform/clock.ts';
import { loadConfig } from '@platform/config.ts';
import { edgeOnlyHeaders } from '@platform/http/edge-request.ts';
import { toProblem } from '@platform/http/problem.ts';
import { type HttpServer, serve, UpgradeResponse } from '@platform/http/server.ts';
import type { Http1Answer } from '@platform/http1/http1-answer.ts';
import { type Http1Server, serveHttp1 } from '@platform/http1/server.ts';
import type { ServerRequest } from '@platform/http1/server-request.ts';
import { problemReply } from '@platform/http1-edge/problem-reply.ts';
import { http1ResponseAdapter } from '@platform/http1-edge/response-adapter.ts';
import { createIds } from '@platform/ids.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { systemRandom } from '@platform/random.ts';
import { createUpstream } from '@platform/upstream/upstream.ts';
import { createTestTokens } from '@testing/tokens.ts';
import { createGatewayContext } from '../context.ts';
import { createMemoryLimits } from '../limits/memory.ts';
import type { ContextUpstreams } from '../ports.ts';
import { createProxy } from '../proxy/http.ts';
import { createWebSocketProxy } from '../proxy/websocket.ts';
import { gatewaySettings } from '../settings.ts';
import { loginTestRoute, publicTestRoute, realtimeTestRoute } from '../testing/routes.ts';

const clock = systemClock;
const ids = createIds(clock, systemRandom);
const log = createLog('silent');
const metrics = createMetrics();
const tokens = createTestTokens(clock);
const rider = ids<PersonId>();
const settings = loadConfig(gatewaySettings, { LIMIT_AUTH_PER_MINUTE: '5', UPSTREAM_TIMEOUT_MS: '300' });

/** The requests that the service behind the edge received. */
let received: Request[] = [];
let upstreamServer: HttpServer;
let edgeServer: Http1Server;
const closed: { code: number; reason: string }[] = [];

const limits = {
  bodyBytesMax: 65_536,
  frameBytesMax: 16_384,
  socketBufferBytesMax: 65_536,
  requestTimeoutMs: 5_000,
};

beforeAll(async () => {
  upstreamServer = serve({
    ...limits,
    hostname: '127.0.0.1',
    port: 0,
    fetch: async (request) => {
      received.push(request);
      const { pathname } = new URL(request.url);
      if (pathname === '/v1/trips/hang') return new Promise<Response>(() => undefined);
      if (pathname === '/v1/trips/empty') return new Response(null, { status: 204 });
      const body = request.method === 'POST' ? await request.text() : 'hello';
      return new Response(body, {
        status: 201,
        headers: { 'x-made-by': 'trip', connection: 'keep-alive', location: '/v1/trips/1' },
      });
    },
    sockets: [
      {
        path: '/v1/realtime',
        accept: (request) =>
          new URL(request.url).searchParams.get('ticket') === 'good'
            ? new UpgradeResponse({
                open: (socket) => void socket.send('welcome'),
                message: (socket, data) =>
                  void (data === 'bye' ? socket.close(4401, 'expired') : socket.send(data)),
                close: (_, code, reason) => void closed.push({ code, reason }),
              })
            : new Response('no', { status: 401 }),
      },
    ],
  });
  const upstream = (name: string, url = upstreamServer.url) =>
    createUpstream({ name, urls: [url], concurrencyMax: 100, connectTimeoutMs: 1_000, clock, log, metrics });
  const gone = upstream('payment', 'http://127.0.0.1:1');
  const upstreams: ContextUpstreams = {
    user: upstream('user'),
    driver: upstream('driver'),
    trip: upstream('trip'),
    notification: upstream('notification'),
    payment: gone,
  };
  const edge = createGatewayContext<ServerRequest, Http1Answer>({
    routes: [
      ...['GET', 'POST'].map((method) => publicTestRoute(method, '/v1/trips')),
      publicTestRoute('GET', '/v1/trips/:id'),
      loginTestRoute,
      publicTestRoute('GET', '/v1/payment-methods', { owner: 'payment' }),
      realtimeTestRoute,
      { method: 'GET', path: '/healthz' },
    ],
    verifier: tokens.verifier,
    limits: createMemoryLimits(clock),
    settings,
    clock,
    ids,
    log,
    metrics,
    responses: http1ResponseAdapter,
    next: createWebSocketProxy(
      { path: '/v1/realtime', upstream: upstreams.notification, timeoutMs: 300, clock },
      createProxy({ upstreams, settings, bodyBytesMax: limits.bodyBytesMax, clock, log }),
    ),
    operations: () => ({ status: 200, lines: '', body: 'operations' }),
  });
  edgeServer = serveHttp1({
    hostname: '127.0.0.1',
    port: 0,
    handle: edge.handle,
    toErrorReply: (error) => problemReply(toProblem(error), undefined),
    strippedHeaders: edgeOnlyHeaders,
    clock,
    requestTimeoutMs: limits.requestTimeoutMs,
    bodyBytesMax: limits.bodyBytesMax,
    connectionsMax: 100,
  });
});

afterAll(async () => {
  await edgeServer.stop(0);
  await upstreamServer.stop(0);
});

async function sendRequest(path: string, init: RequestInit = {}) {
  received = [];
  const response = await fetch(`${edgeServer.url}${path}`, init);
  const text = await response.text();
  const isProblem = response.headers.get('content-type') === 'application/problem+json';
  return {
    status: response.status,
    headers: response.headers,
    text,
    code: isProblem ? JSON.parse(text).code : undefined,
  };
}
const asRider = () => tokens.bearer(rider, 'rider');

describe('authentication at the edge', () => {
  test('answers 401 without a token and does not call the service', async () => {
    const response = await sendRequest('/v1/trips');
    expect([response.status, response.code]).toEqual([401, 'auth.token_missing']);
    expect(received.length).toBe(0);
  });

  test('answers 401 to a forged token', async () => {
    const { authorization } = asRider();
    const response = await sendRequest('/v1/trips', {
      headers: { authorization: `${authorization.slice(0, -6)}AAAAAA` },
    });
    expect([response.status, response.code]).toEqual([401, 'auth.token_invalid']);
    expect(received.length).toBe(0);
  });

  test('forwards a request with a valid token and returns the response unchanged', async () => {
    const response = await sendRequest('/v1/trips?limit=3', {
      method: 'POST',
      body: '{"a":1}',
      headers: asRider(),
    });
    expect([response.status, response.text]).toEqual([201, '{"a":1}']);
    expect(response.headers.get('x-made-by')).toBe('trip');
    expect(response.headers.get('location')).toBe('/v1/trips/1');
    expect(new URL(received[0]?.url ?? '').search).toBe('?limit=3');
  });

  test('does not expose internal routes', async () => {
    const response = await sendRequest('/internal/driver/holds', { method: 'POST', headers: asRider() });
    expect([response.status, response.code]).toEqual([404, 'request.not_found']);
    expect(received.length).toBe(0);
    expect((await sendRequest('/healthz')).text).toBe('operations');
  });
});

describe('untrusted headers', () => {
  test('with two hosts are 400, and the service is not called', async () => {
    const response = await sendRequest('/v1/trips', {
      headers: { ...asRider(), host: 'one.example, two.example' },
    });
    expect([response.status, response.code]).toEqual([400, 'request.not_http']);
    expect(received.length).toBe(0);
  });

  test('such as service tokens and forwarding headers never reach a service', async () => {
    await sendRequest('/v1/trips', {
      headers: {
        ...asRider(),
        'x-service-token': 'x',
        'x-forwarded-for': '6.6.6.6',
        forwarded: 'for=6.6.6.6',
      },
    });
    const seen = received[0]?.headers;
    expect(seen?.get('x-service-token')).toBeNull();
    expect(seen?.get('forwarded')).toBeNull();
    expect(seen?.get('x-forwarded-for')).toBe('127.0.0.1');
  });

  test('of the client’s own proxies come first in Via, before the gateway', async () => {
    await sendRequest('/v1/trips', { headers: { ...asRider(), via: '1.1 cache.example' } });
    expect(received[0]?.headers.get('via')).toBe('1.1 cache.example, 1.1 gateway');
  });

  test('do not set the request id: the service gets the one of the edge, and a deadline', async () => {
    const response = await sendRequest('/v1/trips/empty', {
      headers: { ...asRider(), 'x-request-id': 'chosen-outside' },
    });
    expect(response.status).toBe(204);
    const requestId = received[0]?.headers.get('x-request-id');
    expect(requestId).not.toBe('chosen-outside');
    expect(Number(received[0]?.headers.get('x-deadline-ms'))).toBeGreaterThan(clock.nowMs() - 5_000);
  });
});

describe('rate limits', () => {
  test('for login from one address are shown in headers, then answered with 429 and Retry-After', async () => {
    const responses = [];
    for (let n = 0; n < 6; n++)
      responses.push(await sendRequest('/v1/auth/login', { method: 'POST', body: '{}' }));
    expect(responses.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201, 429]);
    expect(responses[0]?.headers.get('ratelimit-policy')).toBe('"auth";q=5;w=60');
    expect(responses[0]?.headers.get('ratelimit')).toStartWith('"auth";r=4;');
    expect(responses[5]?.code).toBe('limit.exceeded');
    expect(Number(responses[5]?.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  });
});

describe('a body that is too large', () => {
  test.each([
    ['of an announced length', 'x'.repeat(limits.bodyBytesMax + 1)],
    [
      'of an unannounced length',
      new ReadableStream({
        start(controller) {
          for (let n = 0; n < 9; n++) controller.enqueue(Buffer.alloc(8_192, 'x'));
          controller.close();
        },
      }),
    ],
  ])('%s is 413, and the service is not called', async (_, body) => {
    const response = await sendRequest('/v1/trips', { method: 'POST', body, headers: asRider() });
    expect([response.status, response.code]).toEqual([413, 'request.too_large']);
    expect(received.length).toBe(0);
  });

  test('does not affect a smaller body of unannounced length, which arrives complete', async () => {
    const body = new Response('hello').body;
    const response = await sendRequest('/v1/trips', { method: 'POST', body, headers: asRider() });
    expect([response.status, response.text]).toEqual([201, 'hello']);
  });
});

describe('an unavailable service', () => {
  test('that refuses connections gives 503 with Retry-After', async () => {
    const response = await sendRequest('/v1/payment-methods', { headers: asRider() });
    expect([response.status, response.code]).toEqual([503, 'upstream.unavailable']);
    expect(response.headers.get('retry-after')).toBe('1');
  });

  test('that does not respond in time gives 503', async () => {
    const response = await sendRequest('/v1/trips/hang', { headers: asRider() });
    expect([response.status, response.code]).toEqual([503, 'upstream.timeout']);
  });
});

describe('a proxied WebSocket', () => {
  const connect = (ticket: string) =>
    new WebSocket(`${edgeServer.url.replace('http', 'ws')}/v1/realtime?ticket=${ticket}`);
  const next = (socket: WebSocket) =>
    new Promise<string>((resolve) => {
      socket.onmessage = ({ data }) => resolve(String(data));
    });

  test('forwards frames in both directions and the close code of the service', async () => {
    const socket = connect('good');
    expect(await next(socket)).toBe('welcome');
    socket.send('echo');
    expect(await next(socket)).toBe('echo');
    const end = new Promise<number>((resolve) => {
      socket.onclose = ({ code }) => resolve(code);
    });
    socket.send('bye');
    expect(await end).toBe(4401);
  });

  test('returns the rejection of a handshake to the client', async () => {
    const response = await sendRequest('/v1/realtime?ticket=bad', {
      headers: {
        upgrade: 'websocket',
        connection: 'Upgrade',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'sec-websocket-version': '13',
      },
    });
    expect([response.status, response.text]).toEqual([401, 'no']);
  });
});
