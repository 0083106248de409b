import { createDriverContext } from '@modules/driver/context.ts';
import { driverSettings } from '@modules/driver/settings.ts';
import { createNotificationContext } from '@modules/notification/context.ts';
import {
  createMemoryFanout,
  createMemoryTransientFrames,
  type MemoryFanoutHub,
} from '@modules/notification/fanout/memory.ts';
import { createPositionSender } from '@modules/notification/followers/position-sender.ts';
import type { TripFollowers } from '@modules/notification/followers/trip-followers.ts';
import type { PersonInbox } from '@modules/notification/inbox/inbox.ts';
import { createPositionBatcher } from '@modules/notification/live/position-batcher.ts';
import { notificationSettings } from '@modules/notification/settings.ts';
import type { Tickets } from '@modules/notification/tickets/tickets.ts';
import { createPaymentContext } from '@modules/payment/context.ts';
import { createSimulatedProvider } from '@modules/payment/provider/simulated.ts';
import { paymentSettings, simulatedProviderSettings } from '@modules/payment/settings.ts';
import { createTripContext } from '@modules/trip/context.ts';
import { tripSettings } from '@modules/trip/settings.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { createServiceCredentials, createServiceGuard } from '@platform/auth/service-tokens.ts';
import { createMemoryCache } from '@platform/cache/memory.ts';
import { loadConfig } from '@platform/config.ts';
import type { Context } from '@platform/context.ts';
import type { SocketRoute } from '@platform/http/server.ts';
import { createIds } from '@platform/ids.ts';
import { createMetrics } from '@platform/metrics.ts';
import type { Database } from '@platform/postgres/database.ts';
import { createStraightLineRouter } from '@platform/routing/router.ts';
import {
  createActiveTripsClient,
  createDriverPoolClient,
  createFareQuotesClient,
  createPaymentAuthorisationsClient,
  createPositionBatchClient,
  createTripTracksClient,
} from '../../apps/clients.ts';
import { createProcessHttpApp, type Runtime } from '../../apps/process.ts';
import { processSettings } from '../../apps/settings.ts';
import type { SimBroker } from './broker.ts';
import { createNamedRandom, type FaultPlan } from './faults.ts';
import type { SimLoginSessions } from './login-sessions.ts';
import type { Network } from './network.ts';
import type { Scheduler, Scope } from './scheduler.ts';
import { type InstanceFaults, simulateDatabase } from './simulated-database.ts';
import {
  type SharedPositions,
  type SharedRedis,
  simulateInbox,
  simulateProvider,
  simulateTickets,
  simulateTripFollowers,
} from './stores.ts';
import { createTraceLog } from './trace-log.ts';

export const simServices = ['trip', 'driver', 'payment', 'notification'] as const;
export type SimService = (typeof simServices)[number];
export type Databases = Record<'trip' | 'driver' | 'payment', Database>;

/** Everything that outlives the instances. */
export interface SharedEnvironment {
  seed: number;
  scheduler: Scheduler;
  plan: FaultPlan;
  instanceFaults: InstanceFaults;
  databases: Databases;
  broker: SimBroker;
  network: Network;
  redis: SharedRedis;
  positions: SharedPositions;
  inbox: PersonInbox;
  tickets: Tickets;
  hub: MemoryFanoutHub;
  tripFollowers: TripFollowers;
  sessions: SimLoginSessions;
  rewrite?: ((text: string) => string) | undefined;
}

/** An instance of a service. Everything in it dies with its scope. */
export interface ServiceInstance {
  context: Context;
  sockets: readonly SocketRoute[];
  handle(request: Request): Promise<Response>;
}

const secret = 's'.repeat(32);
const callTimeoutMs = 3_000;
const cacheEntriesMax = 10_000;
const cityTimeZone = 'Asia/Ho_Chi_Minh';

/** The rules of production with waits so short that all of them pass within a run. */
export const simSettings = {
  trip: (mode: string) =>
    loadConfig(tripSettings, {
      DISPATCH_MODE: mode,
      SEARCH_TIMEOUT_SECONDS: '20',
      OFFER_TIMEOUT_SECONDS: '5',
      PICKUP_TIMEOUT_MINUTES: '1',
      NO_SHOW_MINUTES: '1',
      DRIVER_SILENT_MINUTES: '1',
      TRIP_TIMER_POLL_MS: '2000',
    }),
  driver: loadConfig(driverSettings, {}),
  payment: loadConfig(paymentSettings, {
    PAYMENT_POLL_MS: '4000',
    PAYMENT_RETRY_SECONDS_MAX: '4',
    PROVIDER_TIMEOUT_MS: '1000',
  }),
  provider: loadConfig(simulatedProviderSettings, {}),
  notification: loadConfig(notificationSettings, { INBOX_CHECK_SECONDS: '5' }),
  process: loadConfig(processSettings, { LOG_LEVEL: 'silent' }),
};

/** Builds an instance like the composition roots do, on simulated ports. */
export function createServiceInstance(
  service: SimService,
  scope: Scope,
  environment: SharedEnvironment,
): ServiceInstance {
  switch (service) {
    case 'trip':
      return assembleTrip(createParts(service, scope, environment));
    case 'driver':
      return assembleDriver(createParts(service, scope, environment));
    case 'payment':
      return assemblePayment(createParts(service, scope, environment));
    case 'notification':
      return assembleNotification(createParts(service, scope, environment));
  }
}

type InstanceParts = ReturnType<typeof createParts>;

function createParts(service: SimService, scope: Scope, environment: SharedEnvironment) {
  const { seed, scheduler, plan, broker } = environment;
  const random = createNamedRandom(seed, scope.name);
  const clock = scheduler.createClock(scope);
  const runtime: Runtime = {
    service,
    phase: () => 'serving',
    enterPhase: () => undefined,
    settings: simSettings.process,
    clock,
    random,
    ids: createIds(clock, random),
    log: createTraceLog(scheduler, scope),
    metrics: createMetrics(),
    onClose: () => undefined,
    closeAll: async () => undefined,
  };
  const shared = {
    ...runtime,
    bus: broker.createBus(scope),
    cache: createMemoryCache({ clock, entriesMax: cacheEntriesMax }),
    guard: createGuard(environment.sessions.verifier),
    serviceGuard: createServiceGuard({ secret, service, clock }),
    credentials: createServiceCredentials({ secret, service, clock }),
    router: createStraightLineRouter(cityTimeZone),
  };
  return {
    environment,
    runtime,
    shared,
    connection: { scheduler, scope, plan, redis: environment.redis },
    database: (schema: keyof Databases) =>
      simulateDatabase({ ...environment, real: environment.databases[schema], scope }),
    targetOf: (to: SimService) => ({
      url: `http://${to}`,
      fetch: (request: Request) =>
        environment.network(request, { from: scope, service: to, kind: 'call', timeoutMs: callTimeoutMs }),
    }),
    app: () => createProcessHttpApp(runtime, {}),
  };
}

function assembleTrip({
  environment,
  runtime,
  shared,
  database,
  targetOf,
  app,
}: InstanceParts): ServiceInstance {
  const context = createTripContext({
    ...shared,
    database: database('trip'),
    // Both dispatch modes give the same guarantees.
    settings: simSettings.trip(environment.seed % 4 === 0 ? 'sync' : 'events'),
    drivers: createDriverPoolClient(runtime, shared.credentials, targetOf('driver')),
    quotes: createFareQuotesClient(runtime, shared.credentials, targetOf('payment')),
    authorisations: createPaymentAuthorisationsClient(runtime, shared.credentials, targetOf('payment')),
  });
  const mounted = app().use(context.routes).use(context.internalRoutes);
  return { context, sockets: [], handle: async (request) => mounted.handle(request) };
}

function assembleDriver({ environment, shared, connection, database, app }: InstanceParts): ServiceInstance {
  const index = environment.positions.connect(connection);
  const context = createDriverContext({
    ...shared,
    database: database('driver'),
    settings: simSettings.driver,
    index,
    followers: createPositionSender({
      tripFollowers: simulateTripFollowers(environment.tripFollowers, connection),
      transientFrames: createMemoryTransientFrames(environment.hub),
    }),
  });
  const mounted = app().use(context.routes).use(context.internalRoutes);
  return { context, sockets: [], handle: async (request) => mounted.handle(request) };
}

function assemblePayment({
  environment,
  runtime,
  shared,
  connection,
  database,
  targetOf,
  app,
}: InstanceParts): ServiceInstance {
  // The provider keeps its own records: no fault is injected between it and its table.
  const records = simulateDatabase({
    ...environment,
    plan: undefined,
    real: environment.databases.payment,
    scope: connection.scope,
  });
  const provider = createSimulatedProvider({ ...runtime, settings: simSettings.provider, database: records });
  const context = createPaymentContext({
    ...shared,
    database: database('payment'),
    settings: simSettings.payment,
    provider: simulateProvider(provider, connection),
    tracks: createTripTracksClient(runtime, shared.credentials, targetOf('driver')),
  });
  const mounted = app().use(context.routes).use(context.internalRoutes);
  return { context, sockets: [], handle: async (request) => mounted.handle(request) };
}

function assembleNotification({
  environment,
  runtime,
  shared,
  connection,
  targetOf,
  app,
}: InstanceParts): ServiceInstance {
  const context = createNotificationContext({
    ...shared,
    settings: simSettings.notification,
    inbox: simulateInbox(environment.inbox, connection),
    tickets: simulateTickets(environment.tickets, connection),
    fanout: createMemoryFanout(environment.hub),
    endedSessions: environment.sessions.verifier.loadRevokedSessions,
    tripFollowers: simulateTripFollowers(environment.tripFollowers, connection),
    trips: createActiveTripsClient(runtime, shared.credentials, targetOf('trip')),
    positions: createPositionBatcher({
      ...runtime,
      client: createPositionBatchClient(runtime, shared.credentials, targetOf('driver')),
      windowMs: simSettings.notification.SOCKET_POSITION_WINDOW_MS,
    }),
  });
  const mounted = app().use(context.routes);
  return { context, sockets: context.socketRoutes, handle: async (request) => mounted.handle(request) };
}
