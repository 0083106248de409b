import type { Clock } from '@platform/clock.ts';
import { createDueLoop } from '@platform/due-loop.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Random } from '@platform/random.ts';
import { createProviderCalls } from '../provider/calls.ts';
import type { PaymentProvider } from '../provider/provider.ts';
import { chargePolicyOf, debtPolicyOf, type PaymentSettings } from '../settings.ts';
import type { PaymentStore } from '../store/store.ts';
import { createAnswerRecorder } from './answers.ts';
import { createChargeCalls } from './charge-calls.ts';
import { createCharging } from './charging.ts';
import { createDebts } from './debts.ts';
import { createFailureRecorder } from './failures.ts';
import { createNoticeHandler } from './notices.ts';
import { createRefunds } from './refunds.ts';
import { createReversals } from './reversals.ts';
import { createStatusReport } from './status-report.ts';

export interface ProviderOperationsDeps {
  store: PaymentStore;
  provider: PaymentProvider;
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  settings: PaymentSettings;
  /** Called when the outbox holds a new event. */
  onEventWritten: () => void;
}

/**
 * Assembles the operations that call the payment provider, and the loops that resume them by durable
 * timers.
 */
export function createProviderOperations(deps: ProviderOperationsDeps) {
  const { store, provider, clock, ids, log, settings } = deps;
  const policy = chargePolicyOf(settings);
  const calls = createProviderCalls({
    ...deps,
    timeoutMs: policy.providerTimeoutMs,
    onLateAnswer: (notice) => applyNotice(notice),
  });
  const onReversalAdded = () => reversalLoop.wake();
  const reportStatus = createStatusReport(deps);
  const { leaseMs, retryMs } = policy;
  const answers = createAnswerRecorder({ ...deps, leaseMs, reportStatus, onReversalAdded });
  const failures = createFailureRecorder({
    ...deps,
    retryMs,
    debtPolicy: debtPolicyOf(settings),
    reportStatus,
    onReversalAdded,
  });
  const parts = { ...deps, calls, policy, answers };
  const chargeCalls = createChargeCalls(parts);
  const charging = createCharging({ ...parts, chargeCalls, failures });
  const refunds = createRefunds(parts);
  const reversals = createReversals(parts);
  const debts = createDebts({ store, charging, clock, ids, policy, onReversalAdded });

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
  const onDue = () => chargeLoop.wake();
  const applyNotice = createNoticeHandler({ store, answers, failures, refunds, reversals, onDue });
  provider.onNotice(applyNotice);

  return { refunds, debts, onDue, workers: [reversalLoop, refundLoop, chargeLoop] };
}
