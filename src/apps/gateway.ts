import { createGatewayContext } from '@modules/gateway/context.ts';
import type { Edge } from '@modules/gateway/edge/edge.ts';
import { createRedisLimits } from '@modules/gateway/limits/redis.ts';
import { createProxy } from '@modules/gateway/proxy/http.ts';
import { createWebSocketProxy } from '@modules/gateway/proxy/websocket.ts';
import { contextNames } from '@modules/gateway/routing/public-route.ts';
import { readProcessRoutes } from '@modules/gateway/routing/read-routes.ts';
import { gatewaySettings } from '@modules/gateway/settings.ts';
import { readRouteAccess } from '@platform/auth/route-access.ts';
import { setting } from '@platform/config.ts';
import { edgeOnlyHeaders } from '@platform/http/edge-request.ts';
import { toProblem } from '@platform/http/problem.ts';
import type { HttpServer } from '@platform/http/server.ts';
import type { Http1Answer } from '@platform/http1/http1-answer.ts';
import { serveHttp1 } from '@platform/http1/server.ts';
import type { ServerRequest } from '@platform/http1/server-request.ts';
import { forwardToApp } from '@platform/http1-edge/forward-to-app.ts';
import { problemReply } from '@platform/http1-edge/problem-reply.ts';
import { http1ResponseAdapter } from '@platform/http1-edge/response-adapter.ts';
import { instancesSetting } from '@platform/upstream/settings.ts';
import { type Static, Type } from '@sinclair/typebox';
import { declarePublicRoutes } from './declared-routes.ts';
import { apiPageRoutes, eventDocumentRoute, mergedApiDocumentRoute } from './documents/routes.ts';
import { createRemoteVerifier, openCacheRedis } from './infrastructure.ts';
import {
  canServe,
  createProcessHttpApp,
  createRuntime,
  type Environment,
  listenAddress,
  main,
  type RunningProcess,
  type Runtime,
  rejectWhileStarting,
  startProcess,
} from './process.ts';
import { cacheRedisSettings, trustSettings } from './settings.ts';
import { openUpstreams } from './upstreams.ts';

/** The settings of the gateway of a fleet. */
export const gatewayProcessSettings = Type.Object({
  ...cacheRedisSettings,
  ...trustSettings,
  ...gatewaySettings.properties,
  CONNECTIONS_MAX: setting.integer(
    'client connections at once; a WebSocket takes a second file descriptor of the process',
    1,
    1_000_000,
    20_000,
  ),
  CONNECTIONS_PER_ADDRESS_MAX: setting.integer(
    'connections at once from one address (for IPv6 from one /64), 0 for no limit; ignored when TRUSTED_PROXY_HOPS is above 0, because all connections come from proxies then',
    0,
    1_000_000,
    2_000,
  ),
  USER_URL: instancesSetting('user'),
  DRIVER_URL: instancesSetting('driver'),
  TRIP_URL: instancesSetting('trip'),
  PAYMENT_URL: instancesSetting('payment'),
  NOTIFICATION_URL: instancesSetting('notification'),
});
type GatewayRuntime = Runtime<Static<typeof gatewayProcessSettings>>;

/** Starts the gateway of a fleet: the edge in front of the proxy to the services. */
export function startGateway(env: Environment): Promise<RunningProcess> {
  const runtime = createRuntime('gateway', gatewayProcessSettings, env);
  const { settings: set, clock, log } = runtime;
  const { upstreams, callers, workers } = openUpstreams(runtime, {
    user: set.USER_URL,
    driver: set.DRIVER_URL,
    trip: set.TRIP_URL,
    payment: set.PAYMENT_URL,
    notification: set.NOTIFICATION_URL,
  });

  const cache = openCacheRedis(runtime);
  // Redis is no readiness check, because without it each edge still serves and counts limits on its own.
  const operations = createProcessHttpApp(runtime, {})
    .use(apiPageRoutes())
    .use(eventDocumentRoute())
    .use(
      mergedApiDocumentRoute(
        contextNames.map((name) => callers[name]),
        set.UPSTREAM_TIMEOUT_MS,
        clock,
      ),
    )
    .compile();
  const verifier = createRemoteVerifier(runtime, callers.user);
  const edge = createGatewayContext<ServerRequest, Http1Answer>({
    ...runtime,
    routes: [...readProcessRoutes(operations), ...declarePublicRoutes()],
    verifier,
    limits: createRedisLimits(cache, `${set.NAMESPACE}:`, clock, log),
    responses: http1ResponseAdapter,
    next: createWebSocketProxy(
      { path: '/v1/realtime', upstream: upstreams.notification, timeoutMs: set.UPSTREAM_TIMEOUT_MS, clock },
      createProxy({ upstreams, settings: set, bodyBytesMax: set.BODY_BYTES_MAX, clock, log }),
    ),
    operations: (request) => forwardToApp(operations.fetch, request),
  });
  return startProcess(runtime, {
    contexts: [],
    workers: [...edge.workers, ...workers],
    listen: () => listenHttp1(runtime, edge),
    access: readRouteAccess(operations),
  });
}

/** Listens with the HTTP/1.1 server of `platform/http1`, because every request of a fleet pays for this server. */
function listenHttp1(runtime: GatewayRuntime, edge: Edge<ServerRequest, Http1Answer>): HttpServer {
  const { settings, clock, log, metrics } = runtime;
  const server = serveHttp1({
    ...listenAddress(settings),
    handle: (request) =>
      canServe(runtime, () => request.path)
        ? edge.handle(request)
        : rejectWhileStarting(http1ResponseAdapter),
    toErrorReply(error, request) {
      const problem = toProblem(error);
      metrics.count('edge_refused_total', { code: problem.code });
      if (problem.kind === 'internal') log.error({ err: error }, 'failed to handle request at the edge');
      const reply = problemReply(problem, undefined);
      if (request !== undefined) edge.addCorsHeaders(request, reply);
      return reply;
    },
    strippedHeaders: edgeOnlyHeaders,
    clock,
    requestTimeoutMs: settings.REQUEST_TIMEOUT_MS,
    bodyBytesMax: settings.BODY_BYTES_MAX,
    connectionsMax: settings.CONNECTIONS_MAX,
    connectionsPerAddressMax: connectionsPerAddressMaxOf(settings),
  });
  metrics.gauge('edge_connections', server.connectionCount);
  return server;
}

/** Behind a trusted proxy all connections come from its address, so the proxy has to limit them. */
const connectionsPerAddressMaxOf = (settings: GatewayRuntime['settings']): number =>
  settings.TRUSTED_PROXY_HOPS > 0 || settings.CONNECTIONS_PER_ADDRESS_MAX === 0
    ? Number.POSITIVE_INFINITY
    : settings.CONNECTIONS_PER_ADDRESS_MAX;

if (import.meta.main) main(startGateway);
