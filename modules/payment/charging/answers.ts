import type { PaymentId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { createPaymentEvent, paymentSnapshotOf } from '../events.ts';
import { createCaptureTransfer } from '../ledger/transfers.ts';
import { amountOf, type Charge, isSettled, type Reversal } from '../payment.ts';
import { zeroAmountRef } from '../provider/provider.ts';
import type { DebtPolicy } from '../settings.ts';
import { nextStep } from '../state.ts';
import type { NewReversal } from '../store/reversals.ts';
import type { PaymentStore } from '../store/store.ts';

export interface AnswerRecorderDeps {
  store: PaymentStore;
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  leaseMs: number;
  retryMs: number;
  debtPolicy: DebtPolicy;
  /** Called when the outbox holds a new event. */
  onEventWritten: () => void;
  /** Called when a reversal is due. */
  onReversalAdded: () => void;
}

/** Whether the charge has a next step (`continue`) or nothing is left to do for this answer (`finished`). */
export type ChargeProgress = 'continue' | 'finished';

export type AnswerRecorder = ReturnType<typeof createAnswerRecorder>;

// A concurrent answer for the same payment makes this one stale; each round lets at least one of them
// through.
const roundsMax = 10;

/**
 * Applies the answers of the provider to payments. An answer may come as the result of a call, from the
 * list of the provider, or as a notice long after the payment was given up. What is owed is accepted, what
 * no payment needs is reversed, and no answer is ignored.
 */
export function createAnswerRecorder(deps: AnswerRecorderDeps) {
  const { store, clock, ids, log, metrics, leaseMs, retryMs, debtPolicy, onEventWritten, onReversalAdded } =
    deps;

  return {
    /** Records that the attempt authorised its amount. The caller continues the charge within `leaseMs`. */
    recordAuthorisation: (
      id: PaymentId,
      attempt: number,
      ref: string,
      leaseMs: number,
    ): Promise<ChargeProgress> =>
      decideOnCurrent(id, async (charge) => {
        if (charge.authorisationRef === ref) return charge.captureRef === null ? 'continue' : 'finished';
        const isAwaited =
          charge.attempt === attempt && charge.authorisationRef === null && !isSettled(charge);
        if (!isAwaited) return reverse(charge, { kind: 'void', ref, amountMinor: charge.authoriseMinor });
        const nowMs = clock.nowMs();
        return (await store.payments.authorise(charge, ref, nowMs + leaseMs, nowMs)) ? 'continue' : 'stale';
      }),

    /** Records that the attempt captured the amount. */
    recordCapture: (id: PaymentId, attempt: number, ref: string): Promise<ChargeProgress> =>
      decideOnCurrent(id, async (charge) => {
        if (charge.captureRef === ref) return 'finished';
        if (charge.intent === 'charge' && !isSettled(charge)) return capture(charge, attempt, ref);
        return reverse(charge, { kind: 'refund', ref, amountMinor: charge.amountMinor });
      }),

    recordDecline,

    /** Marks the payment as failed. Returns true in any case, because nothing is left to do. */
    async recordGivingUp(charge: Charge, timerAtMs: number): Promise<boolean> {
      const nowMs = clock.nowMs();
      const reason = 'provider_unreachable';
      const event = failureEventOf(charge, reason, nowMs);
      if (await store.payments.giveUp(charge, reason, timerAtMs, event, nowMs))
        reportStatus(charge, 'failed', reason);
      return true;
    },

    async recordVoid(charge: Charge): Promise<void> {
      const nowMs = clock.nowMs();
      const event = createPaymentEvent(
        ids,
        'payment.voided.v1',
        paymentSnapshotOf(charge, { status: 'voided' }, nowMs),
      );
      if (await store.payments.void(charge, event, nowMs)) reportStatus(charge, 'voided');
    },

    /** Starts a new attempt for the whole fare and voids the authorisation, which is too small for it. */
    async replaceAuthorisation(charge: Charge): Promise<void> {
      const unused = unusedAuthorisation(charge);
      if (unused === undefined) return;
      const nowMs = clock.nowMs();
      if (await store.payments.authoriseAnew(charge, unused, nowMs + leaseMs, nowMs)) onReversalAdded();
    },
  };

  /** Decides on the current row, and decides again when a concurrent answer changed it first. */
  async function decideOnCurrent(
    id: PaymentId,
    decideOn: (charge: Charge) => Promise<ChargeProgress | 'stale'>,
  ): Promise<ChargeProgress> {
    for (let round = 0; round < roundsMax; round++) {
      const charge = await store.payments.findCharge(id);
      if (charge === undefined) return 'finished';
      const progress = await decideOn(charge);
      if (progress !== 'stale') return progress;
    }
    throw new Error(`payment ${id} changed too often`);
  }

  async function capture(charge: Charge, attempt: number, ref: string): Promise<ChargeProgress | 'stale'> {
    const nowMs = clock.nowMs();
    const { riderId } = charge;
    // A zero fare captures nothing from its authorisation, and a capture by an older attempt used the
    // authorisation of that attempt.
    const usesAuthorisation = ref !== zeroAmountRef && attempt === charge.attempt;
    const unused = usesAuthorisation ? undefined : unusedAuthorisation(charge);
    const isFirst = await store.payments.capture(
      charge,
      ref,
      {
        id: ids(),
        kind: 'capture',
        refundId: null,
        transfer: createCaptureTransfer(riderId, amountOf(charge)),
      },
      createPaymentEvent(
        ids,
        'payment.captured.v1',
        paymentSnapshotOf(charge, { status: 'captured' }, nowMs),
      ),
      unused,
      nowMs,
    );
    if (!isFirst) return 'stale';
    if (unused !== undefined) onReversalAdded();
    reportStatus(charge, 'captured');
    return 'finished';
  }

  /** Returns false when the payment has changed meanwhile, so the caller reads the charge again. */
  async function recordDecline(charge: Charge, reason: string): Promise<boolean> {
    const nowMs = clock.nowMs();
    if (charge.intent === 'void') {
      const event = createPaymentEvent(
        ids,
        'payment.voided.v1',
        paymentSnapshotOf(charge, { status: 'voided' }, nowMs),
      );
      return store.payments.void(charge, event, nowMs);
    }
    const wasCapture = charge.authorisationRef !== null;
    const to = charge.intent === 'hold' ? 'declined' : 'failed';
    const unused = wasCapture ? unusedAuthorisation(charge) : undefined;
    const event =
      to === 'failed'
        ? failureEventOf(charge, reason, nowMs)
        : createPaymentEvent(
            ids,
            'payment.declined.v1',
            paymentSnapshotOf(charge, { status: 'declined', failureReason: reason }, nowMs),
          );
    const timerAtMs = to === 'declined' ? null : nextTryAtMs(charge, wasCapture, nowMs);
    const isFirst = await store.payments.decline(
      charge,
      to,
      { reason, timerAtMs, unusedAuthorisation: unused },
      event,
      nowMs,
    );
    if (!isFirst) return false;
    if (unused !== undefined) onReversalAdded();
    reportStatus(charge, to, reason);
    return true;
  }

  /**
   * A debt is retried for days. When a capture fails for the first time, its authorisation may only have
   * expired, so the retry comes soon.
   */
  function nextTryAtMs({ debtSinceMs }: Charge, wasCapture: boolean, nowMs: number): number | null {
    if (debtSinceMs === null && wasCapture) return nowMs + retryMs;
    const atMs = nowMs + debtPolicy.retryMs;
    return atMs <= (debtSinceMs ?? nowMs) + debtPolicy.retryForMs ? atMs : null;
  }

  /** Rider and driver are notified of a debt only once, however often it is retried. */
  function failureEventOf(charge: Charge, reason: string, nowMs: number) {
    if (charge.debtSinceMs !== null) return undefined;
    return createPaymentEvent(
      ids,
      'payment.failed.v1',
      paymentSnapshotOf(charge, { status: 'failed', failureReason: reason }, nowMs),
    );
  }

  function unusedAuthorisation(charge: Charge): NewReversal | undefined {
    const { authorisationRef: ref, authoriseMinor } = charge;
    return ref === null || ref === zeroAmountRef
      ? undefined
      : reversalOf(charge, { kind: 'void', ref, amountMinor: authoriseMinor });
  }

  function reversalOf(
    { currency }: Charge,
    { kind, ref, amountMinor }: { kind: Reversal['kind']; ref: string; amountMinor: number },
  ): NewReversal {
    return { id: ids<string>(), kind, providerRef: ref, amountMinor, currency };
  }

  async function reverse(
    charge: Charge,
    operation: { kind: Reversal['kind']; ref: string; amountMinor: number },
  ): Promise<ChargeProgress> {
    log.warn({ paymentId: charge.id, ...operation }, 'reversing a provider operation that no payment needs');
    await store.reversals.add(charge.id, reversalOf(charge, operation), clock.nowMs());
    onReversalAdded();
    return 'finished';
  }

  function reportStatus(
    { id }: Charge,
    status: 'captured' | 'declined' | 'failed' | 'voided',
    reason?: string,
  ): void {
    if (reason !== undefined) log.info({ paymentId: id, status, reason }, 'charge failed');
    metrics.count('payments_total', { status });
    onEventWritten();
  }
}

/** Whether the payment still waits for the answer to this step of this attempt. */
export const isAwaitingAnswer = (charge: Charge, step: 'authorise' | 'capture', attempt: number): boolean =>
  charge.attempt === attempt && nextStep(charge) === step;
