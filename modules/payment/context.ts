import type { Guard } from '@platform/auth/guard.ts';
import type { ServiceGuard } from '@platform/auth/services.ts';
import type { Bus } from '@platform/bus/bus.ts';
import type { Cache } from '@platform/cache.ts';
import type { Clock } from '@platform/clock.ts';
import type { Context } from '@platform/context.ts';
import type { Ids } from '@platform/ids.ts';
import { createLoop, type Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { createRelay } from '@platform/outbox.ts';
import type { Database } from '@platform/postgres/database.ts';
import { findAppliedIn } from '@platform/postgres/inbox.ts';
import { migrate } from '@platform/postgres/migrate.ts';
import type { Random } from '@platform/random.ts';
import type { Router } from '@platform/routing.ts';
import { createSweeper } from '@platform/sweeper.ts';
import { createAuthorisations } from './authorisations.ts';
import { createTripHandler, tripEvents, tripQueue } from './events.ts';
import { createPaymentRoutes } from './index.ts';
import { createPaymentInternal } from './internal.ts';
import { migrations } from './migrations/index.ts';
import type { TripTracks } from './ports.ts';
import type { PaymentProvider } from './provider.ts';
import { createPaymentService } from './service.ts';
import { farePolicyOf, type PaymentSettings } from './settings.ts';
import { createSettlement } from './settlement.ts';
import { createPaymentStore } from './store.ts';

export interface PaymentContextOptions {
  database: Database;
  bus: Bus;
  cache: Cache;
  provider: PaymentProvider;
  tracks: TripTracks;
  router: Router;
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
  internal: ReturnType<typeof createPaymentInternal>;
  /** Brings the schema up to date; before anything else runs. */
  prepare(): Promise<void>;
}

const dayMs = 24 * 60 * 60 * 1_000;
const sweepEveryMs = 60_000;
const sweepRowsMax = 1_000;

/** Quotes, fares, charges, refunds, the ledger. */
export function createPaymentContext(options: PaymentContextOptions): PaymentContext {
  const { database, bus, clock, ids, log, metrics, guard, serviceGuard, settings } = options;
  const store = createPaymentStore(database);
  const relay = createRelay({ database, bus, clock, log, metrics });
  const onTold = () => relay.nudge();
  const settlement = createSettlement({ ...options, store, onTold });
  const { refunds, debts, onDue } = settlement;
  const service = createPaymentService({
    ...options,
    store,
    defaultCurrency: settings.DEFAULT_CURRENCY,
    quoteMs: settings.QUOTE_SECONDS * 1_000,
    distanceMetresMax: settings.QUOTE_DISTANCE_KM_MAX * 1_000,
    methodsMax: settings.PAYMENT_METHODS_MAX,
  });
  const quoteSweeper = createLoop({
    name: 'payment.quotes.sweeper',
    clock,
    log,
    idleMs: sweepEveryMs,
    step: async () => {
      const expiredBeforeMs = clock.nowMs() - settings.QUOTE_RETENTION_DAYS * dayMs;
      return (await store.quotes.sweep(expiredBeforeMs, sweepRowsMax)) === sweepRowsMax;
    },
  });

  return {
    name: 'payment',
    routes: createPaymentRoutes({ guard, ids, database, service, refunds, debts }),
    internal: createPaymentInternal({
      serviceGuard,
      service,
      authorisations: createAuthorisations({ store, clock }),
    }),
    queues: [{ queue: tripQueue, applied: findAppliedIn(database, tripQueue) }],
    // Stopped in reverse: first nothing new comes in, last the events of what was under way go out.
    workers: [
      relay,
      createSweeper({ database, clock, log, metrics }),
      quoteSweeper,
      ...settlement.workers,
      tripConsumer(),
    ],
    checks: { postgres: () => database.ping() },
    prepare: () => migrate(database, migrations, log),
  };

  function tripConsumer(): Worker {
    const handle = createTripHandler({
      ...options,
      store,
      commissionBasisPoints: settings.COMMISSION_BASIS_POINTS,
      farePolicy: farePolicyOf(settings),
      onDue,
      onTold,
    });
    let stop: (() => Promise<void>) | undefined;
    return {
      name: tripQueue,
      async start() {
        stop = await bus.subscribe({
          queue: tripQueue,
          events: tripEvents,
          prefetch: settings.PAYMENT_PREFETCH,
          handle: ({ event }) => handle(event),
        });
      },
      async stop() {
        await stop?.();
      },
    };
  }
}
