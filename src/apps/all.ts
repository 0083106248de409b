import { createDriverContext } from '@modules/driver/context.ts';
import { driverSettings } from '@modules/driver/settings.ts';
import { createEdge, guardOperations } from '@modules/gateway/edge.ts';
import { guardHosts } from '@modules/gateway/hosts.ts';
import { createRouter as createEdgeRouter } from '@modules/gateway/router.ts';
import { gatewaySettings } from '@modules/gateway/settings.ts';
import { createNotificationContext } from '@modules/notification/context.ts';
import { notificationSettings } from '@modules/notification/settings.ts';
import { createPaymentContext } from '@modules/payment/context.ts';
import { createSimulatedProvider } from '@modules/payment/provider-simulated.ts';
import { paymentSettings, simulatedProviderSettings } from '@modules/payment/settings.ts';
import { createTripContext } from '@modules/trip/context.ts';
import { tripSettings } from '@modules/trip/settings.ts';
import { createUserContext, type UserContext } from '@modules/user/context.ts';
import { userSettings } from '@modules/user/settings.ts';
import { accessOf } from '@platform/auth/access.ts';
import { createGuard } from '@platform/auth/guard.ts';
import type { Context } from '@platform/context.ts';
import { FetchRequest, fetchDialect } from '@platform/http/entry.ts';
import { createInProcess, withoutEdgeHeaders } from '@platform/http/in-process.ts';
import { problemResponse } from '@platform/http/problem.ts';
import type { Peers, ServeOptions } from '@platform/http/server.ts';
import { type Static, Type } from '@sinclair/typebox';
import { type Adapters, embeddedAdapters, realAdapters } from './adapters.ts';
import {
  activeTrips,
  driverPool,
  fareQuotes,
  ownPositionSink,
  paymentAuthorisations,
  tripTracks,
} from './clients.ts';
import { routesOf } from './declared-routes.ts';
import { apiDocument, apiPage, eventDocument } from './docs.ts';
import {
  createRouter,
  createTokenVerifier,
  credentialsOf,
  openDatabase,
  serviceGuardOf,
} from './infrastructure.ts';
import {
  createRuntime,
  type Environment,
  httpAppOf,
  listen,
  main,
  type RunningProcess,
  type Runtime,
  requestsOf,
  startProcess,
} from './process.ts';
import { publicApi } from './public-api.ts';
import { deadLettersOf } from './service.ts';
import {
  busSettings,
  cacheRedisSettings,
  databaseSettings,
  positionRedisSettings,
  routingSettings,
  trustSettings,
} from './settings.ts';

const common = {
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
const embeddedSettings = Type.Object(common);
export const realSettings = Type.Object({
  ...common,
  ...busSettings,
  ...positionRedisSettings,
  ...cacheRedisSettings,
});

const noPeers: Peers = { addressOf: () => '' };

type AllRuntime = Runtime<Static<typeof embeddedSettings>>;

/** All contexts in one process behind the edge. `ADAPTERS=embedded` needs PostgreSQL only; the default is real. */
export async function startAll(env: Environment): Promise<RunningProcess> {
  if (env.ADAPTERS === 'embedded') {
    const runtime = createRuntime('all', embeddedSettings, env);
    return start(runtime, embeddedAdapters(runtime));
  }
  const runtime = createRuntime('all', realSettings, env);
  return start(runtime, realAdapters(runtime));
}

function start(runtime: AllRuntime, adapters: Adapters): Promise<RunningProcess> {
  const contexts = assemble(runtime, adapters);
  const { user, driver, payment, trip, notification, verifier, guard } = contexts;
  const all = [user, driver, payment, trip, notification];

  const deadLetters = (context: Context) => deadLettersOf(runtime, context, { bus: adapters.bus, guard });

  const checks = Object.assign({}, ...all.map((context) => context.checks));
  const app = httpAppOf(runtime, checks)
    .use(apiPage())
    .use(eventDocument())
    .use(publicApi(contexts))
    .use(deadLetters(driver))
    .use(deadLetters(payment))
    .use(deadLetters(trip))
    .use(deadLetters(notification));
  app.use(apiDocument(app)).compile();
  const { settings, clock } = runtime;
  const behind = createInProcess({
    app: app.fetch,
    hot: driver.hot,
    sockets: notification.sockets,
    requests: requestsOf(runtime),
    clock,
    accessLog: settings.LOG_LEVEL === 'debug',
  });
  const edge = createEdge(
    { ...runtime, router: createEdgeRouter(routesOf(app)), verifier, limits: adapters.limits },
    fetchDialect,
    behind,
    guardOperations(verifier, fetchDialect, ({ native }: FetchRequest) =>
      app.fetch(withoutEdgeHeaders(native)),
    ),
  );
  const handle = guardHosts(settings.ALLOWED_HOSTS, fetchDialect, edge.handle);
  const fetch: ServeOptions['fetch'] = (request, peers) => handle(new FetchRequest(request, peers));
  return startProcess(runtime, {
    contexts: all,
    listen: () =>
      listen(runtime, {
        fetch,
        routes: driver.hot.map(({ method, path }) => ({
          method,
          path,
          fetch: (request, peers) => handle(new FetchRequest(request, peers, path)),
        })),
        // Handshakes too: the edge hands those that it lets in to the path's own `accept`.
        sockets: notification.sockets.map((route) => ({ ...route, accept: fetch })),
        failed(error, request) {
          const problem = problemResponse(error, undefined);
          edge.addCors(new FetchRequest(request, noPeers), problem);
          return problem;
        },
      }),
    workers: edge.workers,
    access: accessOf(app),
  });
}

/** The five contexts, wired to one another in process by the clients that a fleet uses over HTTP. */
function assemble(runtime: AllRuntime, adapters: Adapters) {
  const verifier = createTokenVerifier(runtime, {
    keys: () => user.keys(),
    revocations: (after) => user.revocations(after),
  });
  const guard = createGuard(verifier);
  const router = createRouter(runtime);
  const shared = { ...runtime, ...adapters, guard, router };
  const own = (name: string) => ({
    ...shared,
    serviceGuard: serviceGuardOf(runtime, name),
    database: openDatabase(runtime, name),
  });

  const user: UserContext = createUserContext(own('user'));
  const driver = createDriverContext(own('driver'));
  const paymentOwn = own('payment');
  const provider = createSimulatedProvider(paymentOwn);

  // The contexts ask one another here; each is there before it is asked.
  const reach = {
    url: 'http://in-process',
    fetch: (request: Request): Response | Promise<Response> => internal.fetch(request),
  };
  const tracks = tripTracks(runtime, credentialsOf(runtime, 'payment'), reach);
  const payment = createPaymentContext({ ...paymentOwn, provider, tracks });
  const credentials = credentialsOf(runtime, 'trip');
  const trip = createTripContext({
    ...own('trip'),
    drivers: driverPool(runtime, credentials, reach),
    quotes: fareQuotes(runtime, credentials, reach),
    authorisations: paymentAuthorisations(runtime, credentials, reach),
  });
  const internal = httpAppOf(runtime, {})
    .use(driver.internal)
    .use(payment.internal)
    .use(trip.internal)
    .compile();
  const notification = createNotificationContext({
    ...shared,
    positions: ownPositionSink(driver.intake),
    trips: activeTrips(runtime, credentialsOf(runtime, 'notification'), reach),
    endedSessions: verifier.endedSessions,
  });
  return { user, driver, payment, trip, notification, verifier, guard };
}

if (import.meta.main) main(startAll);
