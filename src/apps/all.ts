import { createDriverContext } from '@modules/driver/context.ts';
import { driverSettings } from '@modules/driver/settings.ts';
import { createGatewayContext } from '@modules/gateway/context.ts';
import { readProcessRoutes } from '@modules/gateway/routing/read-routes.ts';
import { gatewaySettings } from '@modules/gateway/settings.ts';
import { createNotificationContext } from '@modules/notification/context.ts';
import { notificationSettings } from '@modules/notification/settings.ts';
import { createPaymentContext } from '@modules/payment/context.ts';
import { createSimulatedProvider } from '@modules/payment/provider/simulated.ts';
import { paymentSettings, simulatedProviderSettings } from '@modules/payment/settings.ts';
import { createTripContext } from '@modules/trip/context.ts';
import { tripSettings } from '@modules/trip/settings.ts';
import { createUserContext, type UserContext } from '@modules/user/context.ts';
import { userSettings } from '@modules/user/settings.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { readRouteAccess } from '@platform/auth/route-access.ts';
import type { Context } from '@platform/context.ts';
import { FetchRequest, fetchResponseAdapter } from '@platform/http/edge-request.ts';
import { createInProcessHandler, stripEdgeOnlyHeaders } from '@platform/http/in-process-handler.ts';
import { problemResponse } from '@platform/http/problem.ts';
import type { PeerAddresses, ServeOptions } from '@platform/http/server.ts';
import { type Static, Type } from '@sinclair/typebox';
import { type Adapters, createEmbeddedAdapters, createServerAdapters } from './adapters.ts';
import {
  createActiveTripsClient,
  createDriverPoolClient,
  createFareQuotesClient,
  createInProcessPositionSink,
  createPaymentAuthorisationsClient,
  createTripTracksClient,
} from './clients.ts';
import { declarePublicRoutes } from './declared-routes.ts';
import { apiDocumentRoute, apiPageRoutes, eventDocumentRoute } from './documents/routes.ts';
import {
  createRoadRouter,
  createTokenVerifier,
  openDatabase,
  serviceCredentialsOf,
  serviceGuardOf,
} from './infrastructure.ts';
import {
  createProcessHttpApp,
  createProcessRequestLifecycle,
  createRuntime,
  type Environment,
  listen,
  main,
  type RunningProcess,
  type Runtime,
  startProcess,
} from './process.ts';
import { createPublicApi } from './public-api.ts';
import { createContextDeadLetterRoutes } from './service.ts';
import {
  busSettings,
  cacheRedisSettings,
  databaseSettings,
  positionRedisSettings,
  routingSettings,
  trustSettings,
} from './settings.ts';

const commonSettings = {
  ...databaseSettings,
  ...trustSettings,
  ...routingSettings,
  ...userSettings.properties,
  ...driverSettings.properties,
  ...tripSettings.properties,
  ...paymentSettings.properties,
  ...simulatedProviderSettings.properties,
  ...notificationSettings.properties,
  ...gatewaySettings.properties,
};
const embeddedSettings = Type.Object(commonSettings);
export const allProcessSettings = Type.Object({
  ...commonSettings,
  ...busSettings,
  ...positionRedisSettings,
  ...cacheRedisSettings,
});

const noPeers: PeerAddresses = { addressOf: () => '' };

type AllRuntime = Runtime<Static<typeof embeddedSettings>>;

/** Starts all contexts in one process behind the edge. `ADAPTERS=embedded` needs PostgreSQL only; the default is `real`. */
export async function startAll(env: Environment): Promise<RunningProcess> {
  if (env.ADAPTERS === 'embedded') {
    const runtime = createRuntime('all', embeddedSettings, env);
    return start(runtime, createEmbeddedAdapters(runtime));
  }
  const runtime = createRuntime('all', allProcessSettings, env);
  return start(runtime, createServerAdapters(runtime));
}

function start(runtime: AllRuntime, adapters: Adapters): Promise<RunningProcess> {
  const contexts = assemble(runtime, adapters);
  const { user, driver, payment, trip, notification, verifier, guard } = contexts;
  const all = [user, driver, payment, trip, notification];

  const deadLetterRoutes = (context: Context) =>
    createContextDeadLetterRoutes(runtime, context, { bus: adapters.bus, guard });

  const checks = Object.assign({}, ...all.map((context) => context.readinessChecks));
  const processApp = createProcessHttpApp(runtime, checks).use(apiPageRoutes()).use(eventDocumentRoute());
  const processRoutes = readProcessRoutes(processApp);
  const app = processApp
    .use(createPublicApi(contexts))
    .use(deadLetterRoutes(driver))
    .use(deadLetterRoutes(payment))
    .use(deadLetterRoutes(trip))
    .use(deadLetterRoutes(notification));
  const apiDocument = apiDocumentRoute(app);
  app.use(apiDocument).compile();
  const { settings, clock } = runtime;
  const next = createInProcessHandler({
    app: app.fetch,
    hotRoutes: driver.hotRoutes,
    socketRoutes: notification.socketRoutes,
    lifecycle: createProcessRequestLifecycle(runtime),
    clock,
    accessLog: settings.LOG_LEVEL === 'debug',
  });
  const edge = createGatewayContext({
    ...runtime,
    routes: [...processRoutes, ...readProcessRoutes(apiDocument), ...declarePublicRoutes()],
    verifier,
    limits: adapters.limits,
    responses: fetchResponseAdapter,
    next,
    operations: ({ native }: FetchRequest) => app.fetch(stripEdgeOnlyHeaders(native)),
  });
  const fetch: ServeOptions['fetch'] = (request, peers) => edge.handle(new FetchRequest(request, peers));
  return startProcess(runtime, {
    contexts: all,
    listen: () =>
      listen(runtime, {
        fetch,
        routes: driver.hotRoutes.map(({ method, path }) => ({
          method,
          path,
          fetch: (request, peers) => edge.handle(new FetchRequest(request, peers, path)),
        })),
        // Handshakes go through the edge too. It forwards those that it admits to the `accept` of the path.
        sockets: notification.socketRoutes.map((route) => ({ ...route, accept: fetch })),
        toErrorResponse(error, request) {
          const problem = problemResponse(error, undefined);
          edge.addCorsHeaders(new FetchRequest(request, noPeers), problem);
          return problem;
        },
      }),
    workers: edge.workers,
    access: readRouteAccess(app),
  });
}

/** Creates the five contexts. In process they call one another with the clients that a fleet uses over HTTP. */
function assemble(runtime: AllRuntime, adapters: Adapters) {
  const verifier = createTokenVerifier(runtime, {
    keys: () => user.keys(),
    revocations: (after) => user.revocations(after),
  });
  const guard = createGuard(verifier);
  const router = createRoadRouter(runtime);
  const shared = { ...runtime, ...adapters, guard, router };
  const depsOf = (name: string) => ({
    ...shared,
    serviceGuard: serviceGuardOf(runtime, name),
    database: openDatabase(runtime, name),
  });

  const user: UserContext = createUserContext(depsOf('user'));
  const driver = createDriverContext(depsOf('driver'));
  const paymentDeps = depsOf('payment');
  const provider = createSimulatedProvider(paymentDeps);

  // The contexts call one another through this target. It is used only after all of them have been created.
  const target = {
    url: 'http://in-process',
    fetch: (request: Request): Response | Promise<Response> => internalApp.fetch(request),
  };
  const tracks = createTripTracksClient(runtime, serviceCredentialsOf(runtime, 'payment'), target);
  const payment = createPaymentContext({ ...paymentDeps, provider, tracks });
  const credentials = serviceCredentialsOf(runtime, 'trip');
  const trip = createTripContext({
    ...depsOf('trip'),
    drivers: createDriverPoolClient(runtime, credentials, target),
    quotes: createFareQuotesClient(runtime, credentials, target),
    authorisations: createPaymentAuthorisationsClient(runtime, credentials, target),
  });
  const internalApp = createProcessHttpApp(runtime, {})
    .use(driver.internalRoutes)
    .use(payment.internalRoutes)
    .use(trip.internalRoutes)
    .compile();
  const notification = createNotificationContext({
    ...shared,
    positions: createInProcessPositionSink(driver.intake),
    trips: createActiveTripsClient(runtime, serviceCredentialsOf(runtime, 'notification'), target),
    endedSessions: verifier.loadRevokedSessions,
  });
  return { user, driver, payment, trip, notification, verifier, guard };
}

if (import.meta.main) main(startAll);
