import type { Guard } from '@platform/auth/guard.ts';
import type { ServiceGuard } from '@platform/auth/services.ts';
import type { Bus } from '@platform/bus/bus.ts';
import type { Cache } from '@platform/cache.ts';
import type { Clock } from '@platform/clock.ts';
import type { Context } from '@platform/context.ts';
import { createDueLoop } from '@platform/due-loop.ts';
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
import { createCharging } from './charging.ts';
import { createDebts } from './debts.ts';
import { createTripHandler, tripEvents, tripQueue } from './events.ts';
import { createPaymentRoutes } from './index.ts';
import { createPaymentInternal } from './internal.ts';
import { migrations } from './migrations/index.ts';
import { createNoticeHandler } from './notices.ts';
import type { TripTracks } from './ports.ts';
import type { PaymentProvider } from './provider.ts';
import { createProviderCalls } from './provider-calls.ts';
import { createRefunds } from './refunds.ts';
import { createReversals } from './reversals.ts';
import { createPaymentService } from './service.ts';
import { debtPolicyOf, farePolicyOf, type PaymentSettings, policyOf } from './settings.ts';
import { createPaymentStore } from './store.ts';
import { createVerdicts } from './verdicts.ts';

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
  const { database, bus, provider, clock, ids, log, metrics, guard, serviceGuard, settings } = options;
  const store = createPaymentStore(database);
  const policy = policyOf(settings);
  const relay = createRelay({ database, bus, clock, log, metrics });
  const calls = createProviderCalls({ ...options, timeoutMs: policy.providerTimeoutMs });
  const onTold = () => relay.nudge();
  const onReversal = () => reversalLoop.nudge();
  const verdicts = createVerdicts({
    ...options,
    store,
    leaseMs: policy.leaseMs,
    retryMs: policy.retryMs,
    debts: debtPolicyOf(settings),
    onTold,
    onReversal,
  });
  const parts = { ...options, store, calls, policy, verdicts, onTold };
  const charging = createCharging(parts);
  const refunds = createRefunds(parts);
  const reversals = createReversals(parts);
  const debts = createDebts({ store, charging, clock, ids, policy, onReversal });
  const service = createPaymentService({
    ...options,
    store,
    defaultCurrency: settings.DEFAULT_CURRENCY,
    quoteMs: settings.QUOTE_SECONDS * 1_000,
    distanceMetresMax: settings.QUOTE_DISTANCE_KM_MAX * 1_000,
    methodsMax: settings.PAYMENT_METHODS_MAX,
  });
  const loopParts = {
    clock,
    log,
    idleMs: settings.PAYMENT_POLL_MS,
    inFlightMax: settings.PAYMENT_CHARGES_MAX,
  };
  const chargeLoop = createDueLoop({
    ...loopParts,
    name: 'payment.charges',
    claimDue: charging.claimDue,
    run: charging.charge,
  });
  const refundLoop = createDueLoop({
    ...loopParts,
    name: 'payment.refunds',
    claimDue: refunds.claimDue,
    run: ({ id }) => refunds.settle(id),
  });
  const reversalLoop = createDueLoop({
    ...loopParts,
    name: 'payment.reversals',
    claimDue: reversals.claimDue,
    run: reversals.run,
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
  provider.listen(
    createNoticeHandler({ store, verdicts, refunds, reversals, onDue: () => chargeLoop.nudge() }),
  );

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
      reversalLoop,
      refundLoop,
      chargeLoop,
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
      onDue: () => chargeLoop.nudge(),
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
