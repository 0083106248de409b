import type { Guard } from '@platform/auth/guard.ts';
import type { ServiceGuard } from '@platform/auth/service-tokens.ts';
import type { Bus } from '@platform/bus/bus.ts';
import type { Cache } from '@platform/cache/cache.ts';
import type { Clock } from '@platform/clock.ts';
import type { Context } from '@platform/context.ts';
import type { Ids } from '@platform/ids.ts';
import { createLoop } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { createRelay } from '@platform/outbox/relay.ts';
import type { Database } from '@platform/postgres/database.ts';
import { createInboxLookup } from '@platform/postgres/inbox.ts';
import { migrate } from '@platform/postgres/migrate.ts';
import type { Random } from '@platform/random.ts';
import type { RoadRouter } from '@platform/routing/router.ts';
import { createSweeper } from '@platform/sweeper.ts';
import { createAuthorisations } from './charging/authorisations.ts';
import { createProviderOperations } from './charging/operations.ts';
import { createTripConsumer, tripEventsQueue } from './consumers.ts';
import { createPaymentRoutes } from './index.ts';
import { createPaymentInternal } from './internal.ts';
import { migrations } from './migrations/index.ts';
import type { TripTracks } from './ports.ts';
import type { PaymentProvider } from './provider/provider.ts';
import { createPaymentService } from './service.ts';
import { farePolicyOf, type PaymentSettings } from './settings.ts';
import { createPaymentStore } from './store/store.ts';

export interface PaymentContextDeps {
  database: Database;
  bus: Bus;
  cache: Cache;
  provider: PaymentProvider;
  tracks: TripTracks;
  router: RoadRouter;
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  guard: Guard;
  serviceGuard: ServiceGuard;
  settings: PaymentSettings;
}

export interface PaymentContext extends Context {
  routes: ReturnType<typeof createPaymentRoutes>;
  internalRoutes: ReturnType<typeof createPaymentInternal>;
  /** Migrates the schema. Called before anything else runs. */
  prepare(): Promise<void>;
}

const dayMs = 24 * 60 * 60 * 1_000;
const sweepIntervalMs = 60_000;
const sweepRowsMax = 1_000;

/** Assembles the payment context: quotes, fares, charges, refunds and the ledger. */
export function createPaymentContext(deps: PaymentContextDeps): PaymentContext {
  const { database, bus, clock, ids, log, metrics, guard, serviceGuard, settings } = deps;
  const store = createPaymentStore(database);
  const relay = createRelay({ database, bus, clock, log, metrics });
  const onEventWritten = () => relay.wake();
  const operations = createProviderOperations({ ...deps, store, onEventWritten });
  const { refunds, debts, onDue } = operations;
  const service = createPaymentService({
    ...deps,
    store,
    defaultCurrency: settings.DEFAULT_CURRENCY,
    quoteValidityMs: settings.QUOTE_SECONDS * 1_000,
    distanceMetresMax: settings.QUOTE_DISTANCE_KM_MAX * 1_000,
    paymentMethodsMax: settings.PAYMENT_METHODS_MAX,
  });
  const quoteSweeper = createLoop({
    name: 'payment.quotes.sweeper',
    clock,
    log,
    idleMs: sweepIntervalMs,
    step: async () => {
      const expiredBeforeMs = clock.nowMs() - settings.QUOTE_RETENTION_DAYS * dayMs;
      return (await store.quotes.deleteExpired(expiredBeforeMs, sweepRowsMax)) === sweepRowsMax;
    },
  });

  const tripConsumer = createTripConsumer({
    ...deps,
    store,
    commissionBasisPoints: settings.COMMISSION_BASIS_POINTS,
    farePolicy: farePolicyOf(settings),
    prefetch: settings.PAYMENT_PREFETCH,
    onDue,
    onEventWritten,
  });

  return {
    name: 'payment',
    routes: createPaymentRoutes({ guard, ids, database, service, refunds, debts }),
    internalRoutes: createPaymentInternal({
      serviceGuard,
      service,
      authorisations: createAuthorisations({ store, clock }),
    }),
    queues: [{ queue: tripEventsQueue, appliedEvents: createInboxLookup(database, tripEventsQueue) }],
    // Workers stop in reverse order: consumers first, the outbox relay last, so that events of in-flight
    // work are still published.
    workers: [
      relay,
      createSweeper({ database, clock, log, metrics }),
      quoteSweeper,
      ...operations.workers,
      tripConsumer,
    ],
    readinessChecks: { postgres: () => database.ping() },
    prepare: () => migrate(database, migrations, log),
  };
}
