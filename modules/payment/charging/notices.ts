import type { PaymentId, RefundId } from '@contracts/ids.ts';
import { type ProviderNotice, parseProviderKey } from '../provider/provider.ts';
import { isAwaitingAnswer } from '../state.ts';
import type { PaymentStore } from '../store/store.ts';
import type { AnswerRecorder } from './answers.ts';
import type { FailureRecorder } from './failures.ts';
import type { Refunds } from './refunds.ts';
import type { Reversals } from './reversals.ts';

export interface NoticeHandlerDeps {
  store: PaymentStore;
  answers: AnswerRecorder;
  failures: FailureRecorder;
  refunds: Refunds;
  reversals: Reversals;
  /** Called when a payment is due. */
  onDue: () => void;
}

/**
 * Handles what the provider reports outside a call, late or repeated. A notice counts like any other
 * answer.
 */
export function createNoticeHandler({
  store,
  answers,
  failures,
  refunds,
  reversals,
  onDue,
}: NoticeHandlerDeps) {
  return async ({ idempotencyKey, answer }: ProviderNotice): Promise<void> => {
    const key = parseProviderKey(idempotencyKey);
    if (key === undefined || answer.kind === 'unknown') return;
    const { step, id, attempt } = key;
    switch (step) {
      case 'refund':
        return refunds.applyNotice(id as RefundId, answer);
      case 'reverse':
        return reversals.applyNotice(id, answer);
      case 'authorise':
      case 'capture': {
        const paymentId = id as PaymentId;
        if (answer.kind === 'ok' && step === 'authorise') {
          await answers.recordAuthorisation(paymentId, attempt, answer.ref, 0);
          onDue();
        } else if (answer.kind === 'ok') await answers.recordCapture(paymentId, attempt, answer.ref);
        else {
          const charge = await store.payments.findCharge(paymentId);
          if (charge !== undefined && isAwaitingAnswer(charge, step, attempt))
            await failures.recordDecline(charge, answer.reason);
        }
        return;
      }
      case 'void': {
        const charge = await store.payments.findCharge(id as PaymentId);
        if (charge?.status === 'authorised' && charge.intent === 'void') await failures.recordVoid(charge);
      }
    }
  };
}
