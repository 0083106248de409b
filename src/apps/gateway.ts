import { createEdge, guardOperations } from '@modules/gateway/edge.ts';
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
import { edgeOnlyHeaders, http1Dialect } from '@platform/http/entry.ts';
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
  CONNECTIONS_PER_ADDRESS_MAX: setting.integer(
    'connections at once from one address (of IPv6 from one /64), 0 for no bound; not looked at when TRUSTED_PROXY_HOPS says that all come from proxies of ours',
    0,
    1_000_000,
    2_000,
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
  const { settings: set, clock, log } = runtime;
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
        clock,
      ),
    )
    .compile();
  const router = createRouter([...routesOf(operations), ...declaredRoutes()]);
  const verifier = remoteVerifier(runtime, call.user);
  const edge = createEdge(
    { ...runtime, router, verifier, limits: createRedisLimits(cache, `${set.NAMESPACE}:`, clock, log) },
    http1Dialect,
    createSocketProxy(
      { path: '/v1/realtime', upstream: upstreams.notification, timeoutMs: set.UPSTREAM_TIMEOUT_MS, clock },
      createProxy({ upstreams, settings: set, bodyBytesMax: set.BODY_BYTES_MAX, clock, log }),
    ),
    guardOperations(verifier, http1Dialect, (request: ServerRequest) => askApp(operations.fetch, request)),
  );
  const handle = guardHosts<ServerRequest, Answer>(set.ALLOWED_HOSTS, http1Dialect, edge.handle);
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
  addCors: (request: ServerRequest, reply: Reply) => void,
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
      if (request !== undefined) addCors(request, problem);
      return problem;
    },
    drop: edgeOnlyHeaders,
    clock,
    requestTimeoutMs: settings.REQUEST_TIMEOUT_MS,
    bodyBytesMax: settings.BODY_BYTES_MAX,
    connectionsMax: settings.CONNECTIONS_MAX,
    connectionsPerAddressMax: perAddressMax(settings),
  });
  metrics.gauge('edge_connections', server.connections);
  return server;
}

/** Behind a proxy of ours every connection comes from its address: it is the one to bound them. */
const perAddressMax = (settings: GatewayRuntime['settings']): number =>
  settings.TRUSTED_PROXY_HOPS > 0 || settings.CONNECTIONS_PER_ADDRESS_MAX === 0
    ? Number.POSITIVE_INFINITY
    : settings.CONNECTIONS_PER_ADDRESS_MAX;

if (import.meta.main) main(startGateway);
