import { Type } from '@sinclair/typebox';
import { Elysia } from 'elysia';
import { createGatewayContext } from '../../modules/gateway/context.ts';
import { createRedisLimits } from '../../modules/gateway/limits/redis.ts';
import { readProcessRoutes, readPublicRoutes } from '../../modules/gateway/routing/read-routes.ts';
import { gatewaySettings } from '../../modules/gateway/settings.ts';
import { createRemoteVerifier, openCacheRedis } from '../../src/apps/infrastructure.ts';
import {
  createProcessHttpApp,
  createProcessRequestLifecycle,
  createRuntime,
  listen,
  main,
  startProcess,
} from '../../src/apps/process.ts';
import { cacheRedisSettings, trustSettings } from '../../src/apps/settings.ts';
import { openUpstreams } from '../../src/apps/upstreams.ts';
import { setting } from '../../src/platform/config.ts';
import { edgePolicy } from '../../src/platform/http/edge-policy.ts';
import { FetchRequest, fetchResponseAdapter } from '../../src/platform/http/edge-request.ts';
import { createInProcessHandler } from '../../src/platform/http/in-process-handler.ts';
import { trip } from './trip.ts';

/** One app with two routes, in one process with the edge's hooks, or bare (`EDGE=no`). */
const settings = Type.Object({
  ...cacheRedisSettings,
  ...trustSettings,
  ...gatewaySettings.properties,
  USER_URL: setting.url('http', 'who tells the key set'),
  EDGE: setting.choice('whether the edge stands in front', ['no', 'yes'], 'yes'),
});

main((env) => {
  const runtime = createRuntime('bench', settings, env);
  const { settings: set, clock, log } = runtime;
  const body = Type.Object({
    quoteId: Type.String({ format: 'uuid' }),
    note: Type.String({ maxLength: 200 }),
  });
  const access = { 'x-roles': ['rider'], summary: 'bench' };
  const tripRoutes = new Elysia({ normalize: false })
    .get('/v1/trips/:id', () => trip, {
      detail: { ...edgePolicy({ limitClass: 'read', priority: 1, repeatability: 'always' }), ...access },
    })
    .post('/v1/trips', ({ status }) => status(201, trip), {
      body,
      detail: { ...edgePolicy({ limitClass: 'write', priority: 2, repeatability: 'with_key' }), ...access },
    });
  const processApp = createProcessHttpApp(runtime, {});
  // Read before `use` adds the other routes to it.
  const processRoutes = readProcessRoutes(processApp);
  const app = processApp.use(tripRoutes).compile();
  const limits = createRedisLimits(openCacheRedis(runtime), `${set.NAMESPACE}:`, clock, log);
  const { callers, workers } = openUpstreams(runtime, { user: set.USER_URL });
  const verifier = createRemoteVerifier(runtime, callers.user);
  const next = createInProcessHandler({
    app: app.fetch,
    hotRoutes: [],
    socketRoutes: [],
    lifecycle: createProcessRequestLifecycle(runtime),
    clock,
    accessLog: false,
  });
  const edge = createGatewayContext({
    ...runtime,
    routes: [...processRoutes, ...readPublicRoutes('trip', tripRoutes)],
    verifier,
    limits,
    responses: fetchResponseAdapter,
    next,
    operations: ({ native }: FetchRequest) => app.fetch(native),
  });
  return startProcess(runtime, {
    contexts: [],
    workers: [...workers, ...edge.workers],
    listen: () =>
      listen(runtime, {
        fetch:
          set.EDGE === 'yes' ? (request, peers) => edge.handle(new FetchRequest(request, peers)) : app.fetch,
        sockets: [],
      }),
    access: [],
  });
});
