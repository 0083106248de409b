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
  simulateRides,
  simulateTickets,
} from './stores.ts';
import { createTraceLog } from './trace-log.ts';

export const simServices = ['trip', 'driver', 'payment', 'notification'] as const;
export type SimService = (typeof simServices)[number];
export type Databases = Record<'trip' | 'driver' | 'payment', Database>;

/** What outlives the instances. */
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
  rides: TripFollowers;
  sessions: SimLoginSessions;
  rewrite?: ((text: string) => string) | undefined;
}

/** An instance of a service: everything in it dies with its scope. */
export interface ServiceInstance {
  context: Context;
  sockets: readonly SocketRoute[];
  handle(request: Request): Promise<Response>;
}

const secret = 's'.repeat(32);
const callTimeoutMs = 3_000;
const cacheEntriesMax = 10_000;
const cityTimeZone = 'Asia/Ho_Chi_Minh';

/** Waits short enough that a run sees all of them pass; the rules are those of production. */
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

/** Builds an instance as the composition roots do, on ports that the simulation rules. */
export function createServiceInstance(
  service: SimService,
  scope: Scope,
  around: SharedEnvironment,
): ServiceInstance {
  switch (service) {
    case 'trip':
      return assembleTrip(partsOf(service, scope, around));
    case 'driver':
      return assembleDriver(partsOf(service, scope, around));
    case 'payment':
      return assemblePayment(partsOf(service, scope, around));
    case 'notification':
      return assembleNotification(partsOf(service, scope, around));
  }
}

type Parts = ReturnType<typeof partsOf>;

function partsOf(service: SimService, scope: Scope, around: SharedEnvironment) {
  const { seed, scheduler, plan, broker } = around;
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
    guard: createGuard(around.sessions.verifier),
    serviceGuard: createServiceGuard({ secret, service, clock }),
    credentials: createServiceCredentials({ secret, service, clock }),
    router: createStraightLineRouter(cityTimeZone),
  };
  return {
    around,
    runtime,
    shared,
    way: { scheduler, scope, plan, redis: around.redis },
    database: (schema: keyof Databases) =>
      simulateDatabase({ ...around, real: around.databases[schema], scope }),
    reach: (to: SimService) => ({
      url: `http://${to}`,
      fetch: (request: Request) =>
        around.network(request, { from: scope, service: to, kind: 'call', timeoutMs: callTimeoutMs }),
    }),
    app: () => createProcessHttpApp(runtime, {}),
  };
}

function assembleTrip({ around, runtime, shared, database, reach, app }: Parts): ServiceInstance {
  const context = createTripContext({
    ...shared,
    database: database('trip'),
    // Both ways to dispatch have the same promises.
    settings: simSettings.trip(around.seed % 4 === 0 ? 'sync' : 'events'),
    drivers: createDriverPoolClient(runtime, shared.credentials, reach('driver')),
    quotes: createFareQuotesClient(runtime, shared.credentials, reach('payment')),
    authorisations: createPaymentAuthorisationsClient(runtime, shared.credentials, reach('payment')),
  });
  const mounted = app().use(context.routes).use(context.internalRoutes);
  return { context, sockets: [], handle: async (request) => mounted.handle(request) };
}

function assembleDriver({ around, shared, way, database, app }: Parts): ServiceInstance {
  const index = around.positions.of(way);
  const context = createDriverContext({
    ...shared,
    database: database('driver'),
    settings: simSettings.driver,
    index,
    followers: createPositionSender({
      tripFollowers: simulateRides(around.rides, way),
      transientFrames: createMemoryTransientFrames(around.hub),
    }),
  });
  const mounted = app().use(context.routes).use(context.internalRoutes);
  return { context, sockets: [], handle: async (request) => mounted.handle(request) };
}

function assemblePayment({ around, runtime, shared, way, database, reach, app }: Parts): ServiceInstance {
  // The provider's memory is its own: no fault of ours gets between it and its table.
  const records = simulateDatabase({
    ...around,
    plan: undefined,
    real: around.databases.payment,
    scope: way.scope,
  });
  const provider = createSimulatedProvider({ ...runtime, settings: simSettings.provider, database: records });
  const context = createPaymentContext({
    ...shared,
    database: database('payment'),
    settings: simSettings.payment,
    provider: simulateProvider(provider, way),
    tracks: createTripTracksClient(runtime, shared.credentials, reach('driver')),
  });
  const mounted = app().use(context.routes).use(context.internalRoutes);
  return { context, sockets: [], handle: async (request) => mounted.handle(request) };
}

function assembleNotification({ around, runtime, shared, way, reach, app }: Parts): ServiceInstance {
  const context = createNotificationContext({
    ...shared,
    settings: simSettings.notification,
    inbox: simulateInbox(around.inbox, way),
    tickets: simulateTickets(around.tickets, way),
    fanout: createMemoryFanout(around.hub),
    endedSessions: around.sessions.verifier.loadRevokedSessions,
    tripFollowers: simulateRides(around.rides, way),
    trips: createActiveTripsClient(runtime, shared.credentials, reach('trip')),
    positions: createPositionBatcher({
      ...runtime,
      client: createPositionBatchClient(runtime, shared.credentials, reach('driver')),
      windowMs: simSettings.notification.SOCKET_POSITION_WINDOW_MS,
    }),
  });
  const mounted = app().use(context.routes);
  return { context, sockets: context.socketRoutes, handle: async (request) => mounted.handle(request) };
}
