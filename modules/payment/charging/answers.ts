import type { PaymentId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { createPaymentEvent } from '../events.ts';
import { createCaptureTransfer } from '../ledger/transfers.ts';
import { amountOf, type Charge, isSettled, paymentSnapshotOf, type Reversal } from '../payment.ts';
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
  /** Called when an event waits in the outbox. */
  onEventWritten: () => void;
  /** Called when a reversal waits. */
  onReversalAdded: () => void;
}

/** `moved`: the payment has changed. `over`: nothing is left to do for this answer. */
export type ChargeProgress = 'moved' | 'over';

export type AnswerRecorder = ReturnType<typeof createAnswerRecorder>;

// Another answer for the same payment makes ours stale; each round lets at least one through.
const roundsMax = 10;

/**
 * What an answer of the provider means for its payment, whenever and however it comes: as the answer to a
 * call, from the provider's list, or as a notice long after we gave it up. What is owed is taken in; what no
 * payment needs is reversed. No answer is ignored.
 */
export function createAnswerRecorder(options: AnswerRecorderDeps) {
  const { store, clock, ids, log, metrics, leaseMs, retryMs, debtPolicy, onEventWritten, onReversalAdded } =
    options;

  return {
    /** An amount was set aside, by that attempt. Whoever brings the answer goes on with the charge within `leaseMs`. */
    authorised: (id: PaymentId, attempt: number, ref: string, leaseMs: number): Promise<ChargeProgress> =>
      decide(id, async (charge) => {
        if (charge.authorisationRef === ref) return charge.captureRef === null ? 'moved' : 'over';
        const isAwaited =
          charge.attempt === attempt && charge.authorisationRef === null && !isSettled(charge);
        if (!isAwaited) return reverse(charge, { kind: 'void', ref, amountMinor: charge.authoriseMinor });
        const nowMs = clock.nowMs();
        return (await store.payments.authorise(charge, ref, nowMs + leaseMs, nowMs)) ? 'moved' : 'stale';
      }),

    /** An amount was taken, by that attempt. */
    captured: (id: PaymentId, attempt: number, ref: string): Promise<ChargeProgress> =>
      decide(id, async (charge) => {
        if (charge.captureRef === ref) return 'over';
        if (charge.intent === 'charge' && !isSettled(charge)) return capture(charge, attempt, ref);
        return reverse(charge, { kind: 'refund', ref, amountMinor: charge.amountMinor });
      }),

    declined,

    /** True, whether or not it was the first to say so: nothing is left to do. */
    async givenUp(charge: Charge, timerAtMs: number): Promise<boolean> {
      const nowMs = clock.nowMs();
      const reason = 'provider_unreachable';
      const event = failureOf(charge, reason, nowMs);
      if (await store.payments.giveUp(charge, reason, timerAtMs, event, nowMs))
        ended(charge, 'failed', reason);
      return true;
    },

    async voided(charge: Charge): Promise<void> {
      const nowMs = clock.nowMs();
      const event = createPaymentEvent(
        ids,
        'payment.voided.v1',
        paymentSnapshotOf(charge, { status: 'voided' }, nowMs),
      );
      if (await store.payments.void(charge, event, nowMs)) ended(charge, 'voided');
    },

    /** The authorisation is too small for the final fare. */
    async replaced(charge: Charge): Promise<void> {
      const unused = unusedAuthorisation(charge);
      if (unused === undefined) return;
      const nowMs = clock.nowMs();
      if (await store.payments.authoriseAnew(charge, unused, nowMs + leaseMs, nowMs)) onReversalAdded();
    },
  };

  /** Decides on the payment as it stands, and again when another answer was quicker. */
  async function decide(
    id: PaymentId,
    verdictOn: (charge: Charge) => Promise<ChargeProgress | 'stale'>,
  ): Promise<ChargeProgress> {
    for (let round = 0; round < roundsMax; round++) {
      const charge = await store.payments.findCharge(id);
      if (charge === undefined) return 'over';
      const verdict = await verdictOn(charge);
      if (verdict !== 'stale') return verdict;
    }
    throw new Error(`payment ${id} kept changing`);
  }

  async function capture(charge: Charge, attempt: number, ref: string): Promise<ChargeProgress | 'stale'> {
    const nowMs = clock.nowMs();
    const { riderId } = charge;
    // A fare of nothing takes nothing from its authorisation, and an older attempt took from its own.
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
    ended(charge, 'captured');
    return 'over';
  }

  /** False when the payment was not in that state any more: the charge is to be looked at again. */
  async function declined(charge: Charge, reason: string): Promise<boolean> {
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
        ? failureOf(charge, reason, nowMs)
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
    ended(charge, to, reason);
    return true;
  }

  /** A debt is tried on for days; an authorisation that could not be captured may only have lapsed, so once at once. */
  function nextTryAtMs({ debtSinceMs }: Charge, wasCapture: boolean, nowMs: number): number | null {
    if (debtSinceMs === null && wasCapture) return nowMs + retryMs;
    const atMs = nowMs + debtPolicy.retryMs;
    return atMs <= (debtSinceMs ?? nowMs) + debtPolicy.retryForMs ? atMs : null;
  }

  /** Its rider and driver hear of a debt once, however often it is tried. */
  function failureOf(charge: Charge, reason: string, nowMs: number) {
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
    what: { kind: Reversal['kind']; ref: string; amountMinor: number },
  ): Promise<ChargeProgress> {
    log.warn({ paymentId: charge.id, ...what }, 'the provider has done what no payment needs');
    await store.reversals.add(charge.id, reversalOf(charge, what), clock.nowMs());
    onReversalAdded();
    return 'over';
  }

  function ended(
    { id }: Charge,
    status: 'captured' | 'declined' | 'failed' | 'voided',
    reason?: string,
  ): void {
    if (reason !== undefined) log.info({ paymentId: id, status, reason }, 'a charge failed');
    metrics.count('payments_total', { status });
    onEventWritten();
  }
}

/** The provider declined that attempt: said of a payment that still waits for just that answer. */
export const isAwaitingAnswer = (charge: Charge, step: 'authorise' | 'capture', attempt: number): boolean =>
  charge.attempt === attempt && nextStep(charge) === step;
