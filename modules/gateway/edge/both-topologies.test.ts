import { afterEach, describe, expect, test } from 'bun:test';
import { connect } from 'node:net';
import { headers } from '@contracts/common.ts';
import { systemClock } from '@platform/clock.ts';
import { loadConfig } from '@platform/config.ts';
import { edgeOnlyHeaders, FetchRequest, fetchResponseAdapter } from '@platform/http/edge-request.ts';
import { createInProcessHandler } from '@platform/http/in-process-handler.ts';
import { toProblem } from '@platform/http/problem.ts';
import { createRequestLifecycle } from '@platform/http/request-lifecycle.ts';
import { type ServeOptions, serve, UpgradeResponse } from '@platform/http/server.ts';
import { serveHttp1 } from '@platform/http1/server.ts';
import { problemReply } from '@platform/http1-edge/problem-reply.ts';
import { http1ResponseAdapter } from '@platform/http1-edge/response-adapter.ts';
import { createIds } from '@platform/ids.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { systemRandom } from '@platform/random.ts';
import { createUpstream } from '@platform/upstream/upstream.ts';
import { sendRawRequest } from '@testing/raw-http.ts';
import { createTestTokens } from '@testing/tokens.ts';
import { until } from '@testing/until.ts';
import { createMemoryLimits } from '../limits/memory.ts';
import { createProxy } from '../proxy/http.ts';
import { createWebSocketProxy } from '../proxy/websocket.ts';
import { createEdgeRouter } from '../routing/router.ts';
import { gatewaySettings } from '../settings.ts';
import { loginTestRoute, publicTestRoute, realtimeTestRoute } from '../testing/routes.ts';
import { createEdge, deadlineMsMin } from './edge.ts';

// Tests the edge in both topologies: in front of the contexts themselves (one process) and in front of the proxy to
// them (fleet).

const clock = systemClock;
const ids = createIds(clock, systemRandom);
const log = createLog('silent');
const tokens = createTestTokens(clock);
const server = {
  hostname: '127.0.0.1',
  port: 0,
  requestTimeoutMs: 5_000,
  bodyBytesMax: 65_536,
  frameBytesMax: 16_384,
  socketBufferBytesMax: 65_536,
};
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Edge {
  url: string;
  /** Requests and handshakes that passed the edge. */
  received: Request[];
}
type App = (request: Request) => Response | Promise<Response>;

const topologies = { 'one process': startInProcess, fleet: startFleet } as const;

/** Wraps `app` and records the requests that it gets. */
function recordRequests(app: App) {
  const received: Request[] = [];
  const answer: App = (request) => {
    received.push(request);
    return app(request);
  };
  const sockets = [{ path: '/v1/realtime', accept: answer }];
  return { received, answer, sockets };
}

function createEdgeDeps(env: Record<string, string>) {
  const settings = loadConfig(gatewaySettings, env);
  const metrics = createMetrics();
  const router = createEdgeRouter([
    loginTestRoute,
    publicTestRoute('GET', '/.well-known/jwks.json', { owner: 'user', requiresToken: false }),
    realtimeTestRoute,
    { method: 'GET', path: '/openapi/json' },
    { method: 'GET', path: '/healthz' },
  ]);
  const limits = createMemoryLimits(clock);
  return { router, verifier: tokens.verifier, limits, settings, clock, ids, log, metrics };
}

function startInProcess(app: App, env: Record<string, string>): Edge {
  const { received, answer, sockets: socketRoutes } = recordRequests(app);
  const deps = createEdgeDeps(env);
  const lifecycle = createRequestLifecycle({ ...deps, service: 'all', bodyBytesMax: server.bodyBytesMax });
  const next = createInProcessHandler({
    app: answer,
    hotRoutes: [],
    socketRoutes,
    lifecycle,
    clock,
    accessLog: false,
  });
  const edge = createEdge(deps, fetchResponseAdapter, next, () => new Response('operation'));
  const fetch: ServeOptions['fetch'] = (request, peers) => edge.handle(new FetchRequest(request, peers));
  const started = serve({ ...server, fetch, sockets: [{ path: '/v1/realtime', accept: fetch }] });
  cleanups.push(() => started.stop(0));
  return { url: started.url, received };
}

function startFleet(app: App, env: Record<string, string>): Edge {
  const { received, answer, sockets } = recordRequests(app);
  const service = serve({ ...server, fetch: answer, sockets });
  const deps = createEdgeDeps(env);
  const { settings, metrics } = deps;
  const upstreamOf = (name: string) =>
    createUpstream({
      ...{ name, urls: [service.url], concurrencyMax: 100, connectTimeoutMs: 1_000, clock, log, metrics },
    });
  const user = upstreamOf('user');
  const upstreams = {
    user,
    driver: user,
    trip: user,
    payment: user,
    notification: upstreamOf('notification'),
  };
  const { bodyBytesMax } = server;
  const next = createWebSocketProxy(
    { path: '/v1/realtime', upstream: upstreams.notification, timeoutMs: 1_000, clock },
    createProxy({ upstreams, settings, bodyBytesMax, clock, log }),
  );
  const edge = createEdge(deps, http1ResponseAdapter, next, () => ({
    status: 200,
    lines: '',
    body: 'operation',
  }));
  const started = serveHttp1({
    ...server,
    handle: edge.handle,
    toErrorReply: (error) => problemReply(toProblem(error), undefined),
    strippedHeaders: edgeOnlyHeaders,
    clock,
    connectionsMax: 1_000,
  });
  cleanups.push(
    () => service.stop(0),
    () => started.stop(0),
  );
  return { url: started.url, received };
}

const ok: App = () => Response.json({});
const key = 'dGhlIHNhbXBsZSBub25jZQ==';
const handshake = (...lines: string[]) =>
  Buffer.from(
    [
      'GET /v1/realtime?ticket=bad HTTP/1.1',
      'host: ride.example',
      'connection: Upgrade',
      'upgrade: websocket',
      'sec-websocket-version: 13',
      `sec-websocket-key: ${key}`,
      ...lines,
      '\r\n',
    ].join('\r\n'),
  );
const login = (edge: Edge, given: Record<string, string> = {}) =>
  fetch(`${edge.url}/v1/auth/login`, { method: 'POST', body: '{}', headers: given });
const code = async (answer: Response) => [answer.status, ((await answer.json()) as { code: string }).code];

describe.each(['one process', 'fleet'] as const)('the edge, %s', (name) => {
  const start = (app: App = ok, env: Record<string, string> = {}) => topologies[name](app, env);

  test.each(edgeOnlyHeaders)(
    'never forwards %s from a client, on a request or a handshake',
    async (header) => {
      const edge = start(() => new Response('no', { status: 401 }));
      const given = header === headers.deadline ? String(clock.nowMs() + 3_600_000) : 'given-by-a-client';
      await login(edge, { [header]: given });
      await sendRawRequest(edge.url, handshake(`${header}: ${given}`));
      expect(edge.received.map((request) => request.method)).toEqual(['POST', 'GET']);
      for (const request of edge.received) expect(request.headers.get(header) ?? '').not.toContain(given);
    },
  );

  test('sets the client address, host and protocol itself', async () => {
    const edge = start(() => new Response('no', { status: 401 }));
    await sendRawRequest(
      edge.url,
      handshake('x-forwarded-host: evil.example', 'origin: https://evil.example'),
    );
    const seen = (header: string) => edge.received[0]?.headers.get(header);
    expect(seen('x-forwarded-host')).toBe('ride.example');
    expect(seen('x-forwarded-for')).toBe('127.0.0.1');
    expect(seen('x-forwarded-proto')).toBe('http');
  });

  test('trusts a proxy in front, and only the address that the outermost trusted proxy added', async () => {
    const edge = start(() => new Response('no', { status: 401 }), { TRUSTED_PROXY_HOPS: '1' });
    const lines = ['x-forwarded-host: app.example', 'x-forwarded-proto: https'];
    await sendRawRequest(edge.url, handshake(...lines, 'x-forwarded-for: 6.6.6.6, 203.0.113.7'));
    const seen = (header: string) => edge.received[0]?.headers.get(header);
    expect(seen('x-forwarded-host')).toBe('app.example');
    expect(seen('x-forwarded-for')).toBe('203.0.113.7');
    expect(seen('x-forwarded-proto')).toBe('https');
  });

  test.each([
    ['too short', 30, deadlineMsMin],
    ['longer than the upstream timeout', 3_600_000, 8_000],
    ['within the bounds', 3_000, 3_000],
  ])('forwards a deadline that is %s within the bounds', async (_, inMs, expectedMs) => {
    const edge = start();
    const before = clock.nowMs();
    const answer = await login(edge, { [headers.deadline]: String(before + inMs) });
    expect(answer.status).toBe(200);
    const dueInMs = Number(edge.received[0]?.headers.get(headers.deadline)) - before;
    expect(dueInMs).toBeGreaterThanOrEqual(expectedMs);
    expect(dueInMs).toBeLessThan(expectedMs + 1_000);
  });

  test.each([
    ['has passed', String(clock.nowMs() - 60_000), [504, 'request.deadline_passed']],
    ['is not a number', 'soon', [400, 'request.deadline_invalid']],
  ])('rejects a deadline that %s and calls no context', async (_, deadline, expected) => {
    const edge = start();
    expect(await code(await login(edge, { [headers.deadline]: deadline }))).toEqual(expected);
    expect(edge.received).toEqual([]);
  });

  test('lets 1,200 handshakes with invalid tickets cause only as many look-ups as the limit of their address allows', async () => {
    const edge = start(() => new Response('no', { status: 401 }), { LIMIT_REALTIME_PER_MINUTE: '20' });
    const seen: Record<number, number> = {};
    for (let round = 0; round < 12; round++) {
      const answers = await Promise.all(
        Array.from({ length: 100 }, () => sendRawRequest(edge.url, handshake())),
      );
      for (const answer of answers) {
        const status = answer?.status ?? 0;
        seen[status] = (seen[status] ?? 0) + 1;
        if (status !== 429) continue;
        expect(answer?.code).toBe('limit.exceeded');
        expect(Number(answer?.headers['retry-after'])).toBeGreaterThanOrEqual(1);
        expect(answer?.headers['ratelimit-policy']).toBe('"realtime";q=20;w=60');
        expect(answer?.headers.ratelimit).toStartWith('"realtime";r=0;');
      }
    }
    // One more request is allowed every 3 s.
    expect(edge.received.length).toBeWithin(20, 23);
    expect(seen).toEqual({ 401: edge.received.length, 429: 1_200 - edge.received.length });
  });

  test('limits the handshakes in flight, and other requests do not wait for them', async () => {
    const gate = Promise.withResolvers<Response>();
    const edge = start((request) => (request.method === 'GET' ? gate.promise : Response.json({})), {
      UPSTREAM_CONCURRENCY_MAX: '10',
    });
    const answers = Array.from({ length: 12 }, () => sendRawRequest(edge.url, handshake()));
    await until(() => edge.received.length === 5);
    const refused = await Promise.race(answers);
    expect([refused?.status, refused?.code]).toEqual([503, 'edge.overloaded']);
    expect(refused?.headers['retry-after']).toBe('1');
    expect((await login(edge)).status).toBe(200);
    gate.resolve(new Response('no', { status: 401 }));
    const statuses = (await Promise.all(answers)).map((answer) => answer?.status);
    expect(statuses.filter((status) => status === 503)).toHaveLength(7);
    expect((await sendRawRequest(edge.url, handshake()))?.status).not.toBe(503);
  });

  test('opens a connection for a valid handshake and releases its slot', async () => {
    const agree = () =>
      new UpgradeResponse({
        open: (socket) => void socket.send('welcome'),
        message: () => undefined,
        close: () => undefined,
      });
    const edge = start(agree, { UPSTREAM_CONCURRENCY_MAX: '2' });
    for (let n = 0; n < 4; n++) {
      const socket = new WebSocket(`${edge.url.replace('http', 'ws')}/v1/realtime`);
      const first = await new Promise((resolve) => {
        socket.onmessage = ({ data }) => resolve(data);
        socket.onclose = () => resolve('closed');
      });
      expect(first).toBe('welcome');
      socket.close();
    }
  });

  test('limits the API documents by address, but not health checks', async () => {
    const edge = start(ok, { LIMIT_DOCUMENT_PER_MINUTE: '2' });
    const statusesOf = async (path: string) => {
      const statuses: number[] = [];
      for (let n = 0; n < 3; n++) statuses.push((await fetch(`${edge.url}${path}`)).status);
      return statuses;
    };
    expect(await statusesOf('/openapi/json')).toEqual([200, 200, 429]);
    expect(await statusesOf('/healthz')).toEqual([200, 200, 200]);
    expect(edge.received).toEqual([]);
  });

  test('gives slow bodies no admission slot that complete requests need', async () => {
    const edge = start(ok, { ADMISSION_REQUESTS_MIN: '2', ADMISSION_REQUESTS_MAX: '2' });
    const { port } = new URL(edge.url);
    const head = 'POST /v1/auth/login HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{';
    const slow = Array.from({ length: 10 }, () => {
      const socket = connect(Number(port), '127.0.0.1', () => socket.write(head));
      socket.on('error', () => undefined);
      return socket;
    });
    await until(() => slow.every(({ bytesWritten }) => bytesWritten === head.length));
    for (let n = 0; n < 5; n++) expect((await login(edge)).status).toBe(200);
    expect(edge.received).toHaveLength(5);
    for (const socket of slow) socket.destroy();
  });
});
