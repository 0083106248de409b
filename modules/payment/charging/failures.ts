import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import { createPaymentEvent, paymentSnapshotOf } from '../events.ts';
import { authorisationRefOf, type Charge, debtSinceMsOf } from '../payment.ts';
import type { DebtPolicy } from '../settings.ts';
import { statusAfterDecline } from '../state.ts';
import type { PaymentStore } from '../store/store.ts';
import { reversalOfAuthorisation } from './new-reversals.ts';
import type { ReportStatus } from './status-report.ts';

export interface FailureRecorderDeps {
  store: PaymentStore;
  clock: Clock;
  ids: Ids;
  retryMs: number;
  debtPolicy: DebtPolicy;
  reportStatus: ReportStatus;
  /** Called when a reversal is due. */
  onReversalAdded: () => void;
}

export type FailureRecorder = ReturnType<typeof createFailureRecorder>;

/** Records what ends an attempt without a capture: a decline, a void, or that no answer ever came. */
export function createFailureRecorder(deps: FailureRecorderDeps) {
  const { store, clock, ids, retryMs, debtPolicy, reportStatus, onReversalAdded } = deps;

  return {
    /**
     * Records that the provider declined the current attempt. Returns false when the payment has changed
     * meanwhile, so the caller reads the charge again.
     */
    async recordDecline(charge: Charge, reason: string): Promise<boolean> {
      const nowMs = clock.nowMs();
      const to = statusAfterDecline(charge.intent);
      if (to === 'voided') return store.payments.void(charge, voidedEventOf(charge, nowMs), nowMs);
      const wasCapture = authorisationRefOf(charge) !== null;
      const unusedAuthorisation = wasCapture ? reversalOfAuthorisation(ids, charge) : undefined;
      const event =
        to === 'failed' ? failedEventOf(charge, reason, nowMs) : declinedEventOf(charge, reason, nowMs);
      const timerAtMs = to === 'declined' ? null : nextAttemptAtMs(charge, wasCapture, nowMs);
      const failure = { reason, timerAtMs, unusedAuthorisation };
      if (!(await store.payments.decline(charge, to, failure, event, nowMs))) return false;
      if (unusedAuthorisation !== undefined) onReversalAdded();
      reportStatus(charge, to, reason);
      return true;
    },

    /** Marks the payment as failed. Returns true in any case, because nothing is left to do. */
    async recordGivingUp(charge: Charge, timerAtMs: number): Promise<boolean> {
      const nowMs = clock.nowMs();
      const reason = 'provider_unreachable';
      const event = failedEventOf(charge, reason, nowMs);
      if (await store.payments.giveUp(charge, reason, timerAtMs, event, nowMs))
        reportStatus(charge, 'failed', reason);
      return true;
    },

    async recordVoid(charge: Charge): Promise<void> {
      const nowMs = clock.nowMs();
      if (await store.payments.void(charge, voidedEventOf(charge, nowMs), nowMs))
        reportStatus(charge, 'voided');
    },
  };

  /**
   * A debt is retried for days. When a capture fails for the first time, its authorisation may only have
   * expired, so the retry comes soon.
   */
  function nextAttemptAtMs(charge: Charge, wasCapture: boolean, nowMs: number): number | null {
    const debtSinceMs = debtSinceMsOf(charge);
    if (debtSinceMs === null && wasCapture) return nowMs + retryMs;
    const atMs = nowMs + debtPolicy.retryMs;
    return atMs <= (debtSinceMs ?? nowMs) + debtPolicy.retryForMs ? atMs : null;
  }

  /** Rider and driver are notified of a debt only once, however often it is retried. */
  function failedEventOf(charge: Charge, reason: string, nowMs: number) {
    if (debtSinceMsOf(charge) !== null) return undefined;
    const change = { status: 'failed', failureReason: reason } as const;
    return createPaymentEvent(ids, 'payment.failed.v1', paymentSnapshotOf(charge, change, nowMs));
  }

  function declinedEventOf(charge: Charge, reason: string, nowMs: number) {
    const change = { status: 'declined', failureReason: reason } as const;
    return createPaymentEvent(ids, 'payment.declined.v1', paymentSnapshotOf(charge, change, nowMs));
  }

  function voidedEventOf(charge: Charge, nowMs: number) {
    return createPaymentEvent(
      ids,
      'payment.voided.v1',
      paymentSnapshotOf(charge, { status: 'voided' }, nowMs),
    );
  }
}
