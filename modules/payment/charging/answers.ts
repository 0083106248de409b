import type { PaymentId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import { createPaymentEvent, paymentSnapshotOf } from '../events.ts';
import { createCaptureTransfer } from '../ledger/transfers.ts';
import { amountOf, type Charge, isCaptured } from '../payment.ts';
import { zeroAmountRef } from '../provider/provider.ts';
import { decideAuthorisation, decideCapture } from '../state.ts';
import type { PaymentStore } from '../store/store.ts';
import { newReversal, reversalOfAuthorisation, type UnneededOperation } from './new-reversals.ts';
import type { ReportStatus } from './status-report.ts';

export interface AnswerRecorderDeps {
  store: PaymentStore;
  clock: Clock;
  ids: Ids;
  log: Log;
  leaseMs: number;
  reportStatus: ReportStatus;
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
 * Applies to payments what the provider has done. An answer may come as the result of a call, from the list
 * of the provider, or as a notice long after the payment was given up. What is owed is accepted, what no
 * payment needs is reversed, and no answer is ignored.
 */
export function createAnswerRecorder(deps: AnswerRecorderDeps) {
  const { store, clock, ids, log, leaseMs, reportStatus, onReversalAdded } = deps;

  return {
    /** Records that the attempt authorised its amount. The caller continues the charge within `withinMs`. */
    recordAuthorisation: (
      id: PaymentId,
      attempt: number,
      ref: string,
      withinMs: number,
    ): Promise<ChargeProgress> =>
      decideOnCurrent(id, async (charge) => {
        switch (decideAuthorisation(charge, attempt, ref)) {
          case 'known':
            return isCaptured(charge) ? 'finished' : 'continue';
          case 'reverse':
            return reverse(charge, { kind: 'void', ref, amountMinor: charge.authoriseMinor });
          case 'accept': {
            const nowMs = clock.nowMs();
            const isFirst = await store.payments.authorise(charge, ref, nowMs + withinMs, nowMs);
            return isFirst ? 'continue' : 'stale';
          }
        }
      }),

    /** Records that the attempt captured the amount. */
    recordCapture: (id: PaymentId, attempt: number, ref: string): Promise<ChargeProgress> =>
      decideOnCurrent(id, async (charge) => {
        switch (decideCapture(charge, ref)) {
          case 'known':
            return 'finished';
          case 'reverse':
            return reverse(charge, { kind: 'refund', ref, amountMinor: charge.amountMinor });
          case 'accept':
            return capture(charge, attempt, ref);
        }
      }),

    /** Starts a new attempt for the whole fare and voids the authorisation, which is too small for it. */
    async replaceAuthorisation(charge: Charge): Promise<void> {
      const unused = reversalOfAuthorisation(ids, charge);
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
    // A zero fare captures nothing from its authorisation, and a capture by an older attempt used the
    // authorisation of that attempt.
    const usesAuthorisation = ref !== zeroAmountRef && attempt === charge.attempt;
    const unused = usesAuthorisation ? undefined : reversalOfAuthorisation(ids, charge);
    const transfer = createCaptureTransfer(charge.riderId, amountOf(charge));
    const snapshot = paymentSnapshotOf(charge, { status: 'captured' }, nowMs);
    const isFirst = await store.payments.capture(
      charge,
      ref,
      { id: ids(), kind: 'capture', refundId: null, transfer },
      createPaymentEvent(ids, 'payment.captured.v1', snapshot),
      unused,
      nowMs,
    );
    if (!isFirst) return 'stale';
    if (unused !== undefined) onReversalAdded();
    reportStatus(charge, 'captured');
    return 'finished';
  }

  async function reverse(charge: Charge, operation: UnneededOperation): Promise<ChargeProgress> {
    log.warn({ paymentId: charge.id, ...operation }, 'reversing a provider operation that no payment needs');
    await store.reversals.add(charge.id, newReversal(ids, charge, operation), clock.nowMs());
    onReversalAdded();
    return 'finished';
  }
}
