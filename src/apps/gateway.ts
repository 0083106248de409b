import { createEdge, guardOperations } from '@modules/gateway/edge.ts';
import { createRedisLimits } from '@modules/gateway/limits/redis.ts';
import { createProxy, type Upstreams } from '@modules/gateway/proxy.ts';
import { gatewaySettings } from '@modules/gateway/settings.ts';
import { createSocketProxy } from '@modules/gateway/sockets.ts';
import { createUpstream } from '@modules/gateway/upstream.ts';
import { accessOf } from '@platform/auth/access.ts';
import { setting } from '@platform/config.ts';
import { Type } from '@sinclair/typebox';
import { apiPage, mergedApiDocument } from './docs.ts';
import { openCacheRedis, remoteVerifier } from './infrastructure.ts';
import {
  createRuntime,
  type Environment,
  httpAppOf,
  main,
  type RunningProcess,
  startProcess,
} from './process.ts';
import { cacheRedisSettings, trustSettings } from './settings.ts';

const instancesOf = (context: string) =>
  setting.url('http|https', `the instances of the ${context} service, separated by commas`);

const settings = Type.Object({
  ...cacheRedisSettings,
  ...trustSettings,
  ...gatewaySettings.properties,
  USER_URL: instancesOf('user'),
  DRIVER_URL: instancesOf('driver'),
  TRIP_URL: instancesOf('trip'),
  PAYMENT_URL: instancesOf('payment'),
  NOTIFICATION_URL: instancesOf('notification'),
});

/** The gateway of a fleet: the edge in front of the proxy to the services. */
export function startGateway(env: Environment): Promise<RunningProcess> {
  const runtime = createRuntime('gateway', settings, env);
  const { settings: set, clock, ids, log } = runtime;
  const urls = {
    user: set.USER_URL.split(','),
    driver: set.DRIVER_URL.split(','),
    trip: set.TRIP_URL.split(','),
    payment: set.PAYMENT_URL.split(','),
    notification: set.NOTIFICATION_URL.split(','),
  };
  const upstream = (name: keyof typeof urls) =>
    createUpstream(name, urls[name], set.UPSTREAM_CONCURRENCY_MAX, clock);
  const upstreams: Upstreams = {
    user: upstream('user'),
    driver: upstream('driver'),
    trip: upstream('trip'),
    payment: upstream('payment'),
    notification: upstream('notification'),
  };

  let accepting = false;
  const cache = openCacheRedis(runtime);
  // Redis is no check: without it each edge limits on its own and still serves.
  const operations = httpAppOf(runtime, {}, () => accepting)
    .use(apiPage())
    .use(
      mergedApiDocument(
        Object.values(urls).map(([first = '']) => first),
        set.UPSTREAM_TIMEOUT_MS,
      ),
    )
    .compile();
  const verifier = remoteVerifier(runtime);
  const edge = createEdge(
    { ...runtime, verifier, limits: createRedisLimits(cache, `${set.NAMESPACE}:`, clock, log) },
    createProxy({ upstreams, settings: set, clock, log }),
    guardOperations(verifier, operations.fetch),
  );
  const realtime = createSocketProxy({
    path: '/v1/realtime',
    upstream: upstreams.notification,
    settings: set,
    clock,
    ids,
  });
  return startProcess(runtime, {
    contexts: [],
    sockets: [realtime],
    fetch: edge.fetch,
    workers: edge.workers,
    access: accessOf(operations),
    accept: (open) => {
      accepting = open;
    },
  });
}

if (import.meta.main) main(startGateway);
