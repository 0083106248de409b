import type { Clock } from '@platform/clock.ts';
import { createDueLoop } from '@platform/due-loop.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Random } from '@platform/random.ts';
import { createCharging } from './charging.ts';
import { createDebts } from './debts.ts';
import { createNoticeHandler } from './notices.ts';
import type { PaymentProvider } from './provider.ts';
import { createProviderCalls } from './provider-calls.ts';
import { createRefunds } from './refunds.ts';
import { createReversals } from './reversals.ts';
import { debtPolicyOf, type PaymentSettings, policyOf } from './settings.ts';
import type { PaymentStore } from './store.ts';
import { createVerdicts } from './verdicts.ts';

export interface SettlementOptions {
  store: PaymentStore;
  provider: PaymentProvider;
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  settings: PaymentSettings;
  /** Called when an event waits in the outbox. */
  onTold: () => void;
}

/** All that asks the payment provider, with the loops that go on with it by durable timers. */
export function createSettlement(options: SettlementOptions) {
  const { store, provider, clock, ids, log, settings } = options;
  const policy = policyOf(settings);
  const calls = createProviderCalls({
    ...options,
    timeoutMs: policy.providerTimeoutMs,
    onLateAnswer: (notice) => applyNotice(notice),
  });
  const onReversal = () => reversalLoop.nudge();
  const { leaseMs, retryMs } = policy;
  const verdicts = createVerdicts({
    ...options,
    leaseMs,
    retryMs,
    debts: debtPolicyOf(settings),
    onReversal,
  });
  const parts = { ...options, calls, policy, verdicts };
  const charging = createCharging(parts);
  const refunds = createRefunds(parts);
  const reversals = createReversals(parts);
  const debts = createDebts({ store, charging, clock, ids, policy, onReversal });

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
  const onDue = () => chargeLoop.nudge();
  const applyNotice = createNoticeHandler({ store, verdicts, refunds, reversals, onDue });
  provider.listen(applyNotice);

  return { refunds, debts, onDue, workers: [reversalLoop, refundLoop, chargeLoop] };
}
