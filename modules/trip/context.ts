import type { Guard } from '@platform/auth/guard.ts';
import type { ServiceGuard } from '@platform/auth/services.ts';
import type { Bus } from '@platform/bus/bus.ts';
import type { Clock } from '@platform/clock.ts';
import type { Context } from '@platform/context.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { createRelay } from '@platform/outbox.ts';
import type { Database } from '@platform/postgres/database.ts';
import { migrate } from '@platform/postgres/migrate.ts';
import type { Random } from '@platform/random.ts';
import type { Router } from '@platform/routing.ts';
import { createSweeper } from '@platform/sweeper.ts';
import { createDispatchConsumer, dispatchQueue } from './consumer.ts';
import { createDeclineConsumer, paymentQueue } from './declines.ts';
import { createDispatcher } from './dispatch/dispatcher.ts';
import { createSearches } from './dispatch/searches.ts';
import { wantsDispatch } from './events.ts';
import { createTripRoutes } from './index.ts';
import { createTripInternal } from './internal.ts';
import { tripMigrations } from './migrations/index.ts';
import { createMoves } from './moves.ts';
import { createPaymentCheck } from './payment-check.ts';
import type { DriverPool, FareQuotes, PaymentAuthorisations } from './ports.ts';
import { createTripService } from './service.ts';
import { policyOf, type TripSettings } from './settings.ts';
import { createSignOuts, peopleQueue } from './sign-outs.ts';
import type { Step } from './state.ts';
import { createTripStore } from './store/store.ts';
import { createTimers } from './timers.ts';

export interface TripDeps {
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
  router: Router;
}

export interface TripContext extends Context {
  routes: ReturnType<typeof createTripRoutes>;
  internal: ReturnType<typeof createTripInternal>;
  /** Brings the schema up to date; before anything else runs. */
  prepare(): Promise<void>;
}

const dayMs = 24 * 60 * 60 * 1_000;
/** Trips that an instance searches for at the same time by their timers; each search makes a handful of calls. */
const searchesInFlightMax = 200;

/** Trips from the request to the rating, and the dispatch that finds their drivers. */
export function createTripContext(deps: TripDeps): TripContext {
  const { database, bus, clock, log, metrics, guard, serviceGuard, ids, settings } = deps;
  const policy = policyOf(settings);
  const store = createTripStore(database);
  const backlogMax = settings.OUTBOX_BACKLOG_MAX;
  const relay = createRelay({ database, bus, clock, log, metrics, backlogMax });
  const shared = { ...deps, store, policy, told: relay.nudge, assertRoom: relay.assertRoom };
  const moves = createMoves(shared);
  const dispatcher = createDispatcher({ ...shared, moves, windowMs: settings.DISPATCH_WINDOW_MS });
  const searches = createSearches({ dispatcher, metrics, inFlightMax: searchesInFlightMax });

  // With `events`, the event just written leads to dispatch by way of the bus; with `sync`, we go there now.
  const isSync = settings.DISPATCH_MODE === 'sync';
  async function followUp({ event, trip }: Step): Promise<void> {
    if (isSync && wantsDispatch(event)) await dispatcher.dispatch({ tripId: trip.id, version: trip.version });
  }
  function beginFollowUp({ event, trip }: Step): void {
    if (isSync && wantsDispatch(event)) searches.begin({ tripId: trip.id, version: trip.version });
  }

  const checkPayment = createPaymentCheck({ ...deps, paymentWaitMs: settings.ACCEPT_PAYMENT_WAIT_MS });
  const service = createTripService({ ...shared, moves, followUp, checkPayment });
  const timers = createTimers({
    ...shared,
    moves,
    searches,
    beginFollowUp,
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
        sweep: store.sweepHistory,
      },
      {
        name: 'trip_decisions',
        retentionMs: settings.TRIP_DECISIONS_DAYS * dayMs,
        sweep: store.sweepDecisions,
      },
    ],
  });
  const consumer = createDispatchConsumer(bus, dispatcher, settings.DISPATCH_PREFETCH);
  const declines = createDeclineConsumer(bus, { store, moves }, settings.DISPATCH_PREFETCH);
  const signOuts = createSignOuts({ ...shared, moves, beginFollowUp, prefetch: settings.DISPATCH_PREFETCH });

  return {
    name: 'trip',
    queues: [{ queue: dispatchQueue }, { queue: paymentQueue }, { queue: peopleQueue }],
    routes: createTripRoutes({ service, guard, ids, database }),
    internal: createTripInternal({ serviceGuard, service }),
    workers: [relay, timers, sweeper, declines, signOuts, ...(isSync ? [] : [consumer])],
    // Without the bus trips go on: events wait in the outbox, and dispatch goes by the timers.
    checks: { postgres: database.ping },
    prepare: () => migrate(database, tripMigrations, log),
  };
}
