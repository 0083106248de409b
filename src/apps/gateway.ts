import { createEdge, guardOperations, saidByUs } from '@modules/gateway/edge.ts';
import { guardHosts } from '@modules/gateway/hosts.ts';
import { createRedisLimits } from '@modules/gateway/limits/redis.ts';
import { createProxy } from '@modules/gateway/proxy.ts';
import { createRouter } from '@modules/gateway/router.ts';
import { contextNames } from '@modules/gateway/routes.ts';
import { gatewaySettings } from '@modules/gateway/settings.ts';
import { createSocketProxy } from '@modules/gateway/sockets.ts';
import { accessOf } from '@platform/auth/access.ts';
import { setting } from '@platform/config.ts';
import { askApp } from '@platform/http/ask-app.ts';
import { http1Dialect } from '@platform/http/entry.ts';
import { problemReply, toFault } from '@platform/http/problem.ts';
import type { HttpServer } from '@platform/http/server.ts';
import type { Reply } from '@platform/http1/reply.ts';
import { type Answer, type Handle, serveHttp1 } from '@platform/http1/server.ts';
import type { ServerRequest } from '@platform/http1/server-request.ts';
import { instancesOf } from '@platform/upstream/settings.ts';
import { type Static, Type } from '@sinclair/typebox';
import { declaredRoutes, routesOf } from './declared-routes.ts';
import { apiPage, eventDocument, mergedApiDocument } from './docs.ts';
import { openCacheRedis, remoteVerifier } from './infrastructure.ts';
import {
  createRuntime,
  type Environment,
  httpAppOf,
  isPrepared,
  main,
  placeOf,
  type RunningProcess,
  type Runtime,
  refuseWhileStarting,
  startProcess,
} from './process.ts';
import { cacheRedisSettings, trustSettings } from './settings.ts';
import { openUpstreams } from './upstreams.ts';

/** Of the gateway of a fleet. */
export const edgeSettings = Type.Object({
  ...cacheRedisSettings,
  ...trustSettings,
  ...gatewaySettings.properties,
  CONNECTIONS_MAX: setting.integer(
    'connections of clients at once; a WebSocket takes a second descriptor of the process',
    1,
    1_000_000,
    20_000,
  ),
  USER_URL: instancesOf('user'),
  DRIVER_URL: instancesOf('driver'),
  TRIP_URL: instancesOf('trip'),
  PAYMENT_URL: instancesOf('payment'),
  NOTIFICATION_URL: instancesOf('notification'),
});
type GatewayRuntime = Runtime<Static<typeof edgeSettings>>;

/** The gateway of a fleet: the edge in front of the proxy to the services. */
export function startGateway(env: Environment): Promise<RunningProcess> {
  const runtime = createRuntime('gateway', edgeSettings, env);
  const { settings: set, clock, ids, log } = runtime;
  const { upstreams, call, workers } = openUpstreams(runtime, {
    user: set.USER_URL,
    driver: set.DRIVER_URL,
    trip: set.TRIP_URL,
    payment: set.PAYMENT_URL,
    notification: set.NOTIFICATION_URL,
  });

  const cache = openCacheRedis(runtime);
  // Redis is no check: without it each edge limits on its own and still serves.
  const operations = httpAppOf(runtime, {})
    .use(apiPage())
    .use(eventDocument())
    .use(
      mergedApiDocument(
        contextNames.map((name) => call[name]),
        set.UPSTREAM_TIMEOUT_MS,
      ),
    )
    .compile();
  const router = createRouter([...routesOf(operations), ...declaredRoutes()]);
  const verifier = remoteVerifier(runtime, call.user);
  const edge = createEdge(
    { ...runtime, router, verifier, limits: createRedisLimits(cache, `${set.NAMESPACE}:`, clock, log) },
    http1Dialect,
    createProxy({ upstreams, settings: set, bodyBytesMax: set.BODY_BYTES_MAX, clock, log }),
    guardOperations(verifier, http1Dialect, (request: ServerRequest) => askApp(operations.fetch, request)),
  );
  const realtime = { path: '/v1/realtime', upstream: upstreams.notification, settings: set, clock, ids };
  const handle = guardHosts<ServerRequest, Answer>(
    set.ALLOWED_HOSTS,
    http1Dialect,
    createSocketProxy(realtime, edge.handle),
  );
  return startProcess(runtime, {
    contexts: [],
    workers: [...edge.workers, ...workers],
    listen: () => listenAtEdge(runtime, handle, edge.addCors),
    access: accessOf(operations),
  });
}

/** The edge listens through a server of our own: nine of ten requests of a city cost what it costs. */
function listenAtEdge(
  runtime: GatewayRuntime,
  handle: Handle,
  addCors: (request: ServerRequest, reply: Reply) => Reply,
): HttpServer {
  const { settings, clock, log, metrics } = runtime;
  const server = serveHttp1({
    ...placeOf(settings),
    handle: (request) =>
      isPrepared(runtime, () => request.path) ? handle(request) : refuseWhileStarting(http1Dialect),
    failed(error, request) {
      const shown = toFault(error);
      metrics.count('edge_refused_total', { code: shown.code });
      if (shown.kind === 'internal') log.error({ err: error }, 'edge failed');
      const problem = problemReply(shown, undefined);
      return request === undefined ? problem : addCors(request, problem);
    },
    drop: saidByUs,
    clock,
    requestTimeoutMs: settings.REQUEST_TIMEOUT_MS,
    bodyBytesMax: settings.BODY_BYTES_MAX,
    connectionsMax: settings.CONNECTIONS_MAX,
  });
  metrics.gauge('edge_connections', server.connections);
  return server;
}

if (import.meta.main) main(startGateway);
