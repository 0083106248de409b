import type { Guard } from '@platform/auth/guard.ts';
import type { ServiceGuard } from '@platform/auth/service-tokens.ts';
import type { Bus } from '@platform/bus/bus.ts';
import type { Clock } from '@platform/clock.ts';
import type { Context } from '@platform/context.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { createRelay } from '@platform/outbox/relay.ts';
import type { Database } from '@platform/postgres/database.ts';
import { migrate } from '@platform/postgres/migrate.ts';
import type { Random } from '@platform/random.ts';
import type { RoadRouter } from '@platform/routing/router.ts';
import { createSweeper } from '@platform/sweeper.ts';
import { createPaymentCheck } from './acceptance/payment-check.ts';
import { createPaymentDeclineHandler } from './acceptance/payment-declines.ts';
import { createTripConsumers, dispatchQueue, paymentQueue, peopleQueue } from './consumers.ts';
import { createDispatcher } from './dispatch/dispatcher.ts';
import { createBackgroundSearches } from './dispatch/searches.ts';
import { needsDispatch } from './events.ts';
import { createTripRoutes } from './index.ts';
import { createTripInternalRoutes } from './internal.ts';
import { createSignOutHandler } from './lifecycle/sign-outs.ts';
import { createTimers } from './lifecycle/timers.ts';
import { createTransitions } from './lifecycle/transitions.ts';
import { tripMigrations } from './migrations/index.ts';
import type { DriverPool, FareQuotes, PaymentAuthorisations } from './ports.ts';
import { createTripService } from './service.ts';
import { type TripSettings, tripPolicyOf } from './settings.ts';
import type { TripTransition } from './state.ts';
import { createTripStore } from './store/store.ts';

export interface TripContextDeps {
  database: Database;
  bus: Bus;
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  guard: Guard;
  serviceGuard: ServiceGuard;
  settings: TripSettings;
  drivers: DriverPool;
  quotes: FareQuotes;
  authorisations: PaymentAuthorisations;
  router: RoadRouter;
}

export interface TripContext extends Context {
  routes: ReturnType<typeof createTripRoutes>;
  internalRoutes: ReturnType<typeof createTripInternalRoutes>;
  /** Migrates the schema. Call it before anything else runs. */
  prepare(): Promise<void>;
}

const dayMs = 24 * 60 * 60 * 1_000;
/** Searches that the timers of one instance may have in flight. Each search makes a handful of calls. */
const searchesInFlightMax = 200;

/** Assembles the trip context: trips from request to rating, and the dispatch that finds their drivers. */
export function createTripContext(deps: TripContextDeps): TripContext {
  const { database, bus, clock, log, metrics, guard, serviceGuard, ids, settings } = deps;
  const policy = tripPolicyOf(settings);
  const store = createTripStore(database);
  const backlogMax = settings.OUTBOX_BACKLOG_MAX;
  const relay = createRelay({ database, bus, clock, log, metrics, backlogMax });
  const shared = { ...deps, store, policy, onEventWritten: relay.wake, assertRoom: relay.assertRoom };
  const transitions = createTransitions(shared);
  const dispatcher = createDispatcher({ ...shared, transitions, windowMs: settings.DISPATCH_WINDOW_MS });
  const searches = createBackgroundSearches({ dispatcher, metrics, inFlightMax: searchesInFlightMax });

  // With `events`, the dispatch consumer handles the event that was just written. With `sync`, dispatch runs here.
  const isSync = settings.DISPATCH_MODE === 'sync';
  async function dispatchIfNeeded({ eventType, trip }: TripTransition): Promise<void> {
    if (isSync && needsDispatch(eventType))
      await dispatcher.dispatch({ tripId: trip.id, version: trip.version });
  }
  function startDispatchIfNeeded({ eventType, trip }: TripTransition): void {
    if (isSync && needsDispatch(eventType)) searches.start({ tripId: trip.id, version: trip.version });
  }

  const checkPayment = createPaymentCheck({ ...deps, paymentWaitMs: settings.ACCEPT_PAYMENT_WAIT_MS });
  const service = createTripService({ ...shared, transitions, dispatchIfNeeded, checkPayment });
  const timers = createTimers({
    ...shared,
    transitions,
    searches,
    startDispatchIfNeeded,
    pollMs: settings.TRIP_TIMER_POLL_MS,
  });
  const sweeper = createSweeper({
    database,
    clock,
    log,
    metrics,
    records: [
      {
        name: 'trip_history',
        retentionMs: settings.TRIP_HISTORY_DAYS * dayMs,
        deleteExpired: store.sweepHistory,
      },
      {
        name: 'trip_decisions',
        retentionMs: settings.TRIP_DECISIONS_DAYS * dayMs,
        deleteExpired: store.sweepDecisions,
      },
    ],
  });
  const consumers = createTripConsumers({
    bus,
    dispatcher,
    cancelDeclinedTrip: createPaymentDeclineHandler({ store, transitions }),
    handleSignOut: createSignOutHandler({ ...shared, transitions, startDispatchIfNeeded }),
    prefetch: settings.DISPATCH_PREFETCH,
  });

  return {
    name: 'trip',
    queues: [{ queue: dispatchQueue }, { queue: paymentQueue }, { queue: peopleQueue }],
    routes: createTripRoutes({ service, guard, ids, database }),
    internalRoutes: createTripInternalRoutes({ serviceGuard, service }),
    workers: [
      ...[relay, timers, sweeper, consumers.payments, consumers.people],
      ...(isSync ? [] : [consumers.dispatch]),
    ],
    // The bus is no readiness check: without it, events wait in the outbox and the timers run dispatch.
    readinessChecks: { postgres: database.ping },
    prepare: () => migrate(database, tripMigrations, log),
  };
}
