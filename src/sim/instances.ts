import { createDriverContext } from '@modules/driver/context.ts';
import { driverSettings } from '@modules/driver/settings.ts';
import { createNotificationContext } from '@modules/notification/context.ts';
import {
  createMemoryFanout,
  createMemorySignals,
  type MemoryFanoutHub,
} from '@modules/notification/fanout/memory.ts';
import type { PersonInbox } from '@modules/notification/inbox/inbox.ts';
import { gatherPositions } from '@modules/notification/live/positions.ts';
import { createRideFollowers } from '@modules/notification/rides/followers.ts';
import type { Rides } from '@modules/notification/rides/rides.ts';
import { notificationSettings } from '@modules/notification/settings.ts';
import type { Tickets } from '@modules/notification/tickets/tickets.ts';
import { createPaymentContext } from '@modules/payment/context.ts';
import { createSimulatedProvider } from '@modules/payment/provider-simulated.ts';
import { paymentSettings, simulatedProviderSettings } from '@modules/payment/settings.ts';
import { createTripContext } from '@modules/trip/context.ts';
import { tripSettings } from '@modules/trip/settings.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { createServiceCredentials, createServiceGuard } from '@platform/auth/services.ts';
import { createMemoryCache } from '@platform/cache/memory.ts';
import { loadConfig } from '@platform/config.ts';
import type { Context } from '@platform/context.ts';
import type { SocketRoute } from '@platform/http/server.ts';
import { createIds } from '@platform/ids.ts';
import { createMetrics } from '@platform/metrics.ts';
import type { Database } from '@platform/postgres/database.ts';
import { createStraightRouter } from '@platform/routing.ts';
import {
  activeTrips,
  driverPool,
  fareQuotes,
  paymentAuthorisations,
  positionCalls,
  tripTracks,
} from '../apps/clients.ts';
import { httpAppOf, type Runtime } from '../apps/process.ts';
import { processSettings } from '../apps/settings.ts';
import type { Broker } from './broker.ts';
import { type Harm, simulateDatabase } from './database.ts';
import { type FaultPlan, randomFor } from './faults.ts';
import { traceLog } from './log.ts';
import type { Network } from './network.ts';
import type { Scheduler, Scope } from './scheduler.ts';
import type { Sessions } from './sessions.ts';
import {
  inboxOver,
  providerOver,
  ridesOver,
  type SharedPositions,
  type SharedRedis,
  ticketsOver,
} from './stores.ts';

export const services = ['trip', 'driver', 'payment', 'notification'] as const;
export type Service = (typeof services)[number];
export type Databases = Record<'trip' | 'driver' | 'payment', Database>;

/** What outlives the instances. */
export interface Surroundings {
  seed: number;
  scheduler: Scheduler;
  plan: FaultPlan;
  harm: Harm;
  databases: Databases;
  broker: Broker;
  network: Network;
  redis: SharedRedis;
  positions: SharedPositions;
  inbox: PersonInbox;
  tickets: Tickets;
  hub: MemoryFanoutHub;
  rides: Rides;
  sessions: Sessions;
  rewrite?: ((text: string) => string) | undefined;
}

/** An instance of a service: everything in it dies with its scope. */
export interface Assembled {
  context: Context;
  sockets: readonly SocketRoute[];
  handle(request: Request): Promise<Response>;
}

const secret = 's'.repeat(32);
const callTimeoutMs = 3_000;
const cacheEntriesMax = 10_000;
const cityTimeZone = 'Asia/Ho_Chi_Minh';

/** Waits short enough that a run sees all of them pass; the rules are those of production. */
export const settings = {
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
export function assemble(service: Service, scope: Scope, around: Surroundings): Assembled {
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

function partsOf(service: Service, scope: Scope, around: Surroundings) {
  const { seed, scheduler, plan, broker } = around;
  const random = randomFor(seed, scope.name);
  const clock = scheduler.clock(scope);
  const runtime: Runtime = {
    service,
    phase: () => 'serving',
    enter: () => undefined,
    settings: settings.process,
    clock,
    random,
    ids: createIds(clock, random),
    log: traceLog(scheduler, scope),
    metrics: createMetrics(),
    onClose: () => undefined,
    closeAll: async () => undefined,
  };
  const shared = {
    ...runtime,
    bus: broker.busOf(scope),
    cache: createMemoryCache({ clock, entriesMax: cacheEntriesMax }),
    guard: createGuard(around.sessions.verifier),
    serviceGuard: createServiceGuard({ secret, service, clock }),
    credentials: createServiceCredentials({ secret, service, clock }),
    router: createStraightRouter(cityTimeZone),
  };
  return {
    around,
    runtime,
    shared,
    way: { scheduler, scope, plan, redis: around.redis },
    database: (schema: keyof Databases) =>
      simulateDatabase({ ...around, real: around.databases[schema], scope }),
    reach: (to: Service) => ({
      url: `http://${to}`,
      fetch: (request: Request) =>
        around.network(request, { from: scope, service: to, kind: 'call', timeoutMs: callTimeoutMs }),
    }),
    app: () => httpAppOf(runtime, {}),
  };
}

function assembleTrip({ around, runtime, shared, database, reach, app }: Parts): Assembled {
  const context = createTripContext({
    ...shared,
    database: database('trip'),
    // Both ways to dispatch have the same promises.
    settings: settings.trip(around.seed % 4 === 0 ? 'sync' : 'events'),
    drivers: driverPool(runtime, shared.credentials, reach('driver')),
    quotes: fareQuotes(runtime, shared.credentials, reach('payment')),
    authorisations: paymentAuthorisations(runtime, shared.credentials, reach('payment')),
  });
  const mounted = app().use(context.routes).use(context.internal);
  return { context, sockets: [], handle: async (request) => mounted.handle(request) };
}

function assembleDriver({ around, shared, way, database, app }: Parts): Assembled {
  const index = around.positions.of(way);
  const context = createDriverContext({
    ...shared,
    database: database('driver'),
    settings: settings.driver,
    index,
    followers: createRideFollowers({
      rides: ridesOver(around.rides, way),
      signals: createMemorySignals(around.hub),
    }),
  });
  const mounted = app().use(context.routes).use(context.internal);
  return { context, sockets: [], handle: async (request) => mounted.handle(request) };
}

function assemblePayment({ around, runtime, shared, way, database, reach, app }: Parts): Assembled {
  // The provider's memory is its own: no fault of ours gets between it and its table.
  const records = simulateDatabase({
    ...around,
    plan: undefined,
    real: around.databases.payment,
    scope: way.scope,
  });
  const provider = createSimulatedProvider({ ...runtime, settings: settings.provider, database: records });
  const context = createPaymentContext({
    ...shared,
    database: database('payment'),
    settings: settings.payment,
    provider: providerOver(provider, way),
    tracks: tripTracks(runtime, shared.credentials, reach('driver')),
  });
  const mounted = app().use(context.routes).use(context.internal);
  return { context, sockets: [], handle: async (request) => mounted.handle(request) };
}

function assembleNotification({ around, runtime, shared, way, reach, app }: Parts): Assembled {
  const context = createNotificationContext({
    ...shared,
    settings: settings.notification,
    inbox: inboxOver(around.inbox, way),
    tickets: ticketsOver(around.tickets, way),
    fanout: createMemoryFanout(around.hub),
    endedSessions: around.sessions.verifier.endedSessions,
    rides: ridesOver(around.rides, way),
    trips: activeTrips(runtime, shared.credentials, reach('trip')),
    positions: gatherPositions({
      ...runtime,
      calls: positionCalls(runtime, shared.credentials, reach('driver')),
      windowMs: settings.notification.SOCKET_POSITION_WINDOW_MS,
    }),
  });
  const mounted = app().use(context.routes);
  return { context, sockets: context.sockets, handle: async (request) => mounted.handle(request) };
}
