import type { PaymentId, PersonId, RefundId } from '@contracts/ids.ts';
import type { Refund } from '@contracts/payments.ts';
import type { IdempotencyKey } from '@platform/postgres/statements.ts';
import type { Random } from '@platform/random.ts';
import { paymentProblem } from '../errors.ts';
import { isCaptured, type PaymentRecord, type RefundRecord } from '../payment.ts';
import { type ProviderCalls, retryDelayMs } from '../provider/calls.ts';
import { type PaymentProvider, type ProviderAnswer, providerKey } from '../provider/provider.ts';
import type { ChargePolicy } from '../settings.ts';
import { showRefund } from '../views.ts';
import { createRefundRecorder, type RefundRecorderDeps } from './refund-settlement.ts';

/*
 * A refund is accepted first: its amount is reserved on the payment under the idempotency key of the
 * caller, and the refund gets a timer. Then the provider is called, within the request if it answers in
 * time, otherwise by the timer until it answers. The ledger records a refund only after the provider has
 * paid it back.
 */

export interface RefundsDeps extends RefundRecorderDeps {
  provider: PaymentProvider;
  calls: ProviderCalls;
  random: Random;
  policy: ChargePolicy;
}

export type Refunds = ReturnType<typeof createRefunds>;

export function createRefunds(deps: RefundsDeps) {
  const { store, provider, calls, clock, random, ids, log, policy } = deps;
  const { recordSettlement, recordDecline } = createRefundRecorder(deps);

  return {
    /**
     * Accepts a refund of `amountMinor`, or of the whole remaining amount. Throws `payment.not_found`,
     * `payment.not_captured`, `refund.too_large`, `refund.declined`, `idempotency.key_reused`.
     */
    async request(
      paymentId: PaymentId,
      request: { amountMinor?: number; reason: string },
      operatorId: PersonId,
      key: IdempotencyKey,
    ): Promise<Refund> {
      const accepted = await store.respondOnce<Refund>(key, async () => {
        const payment = await store.payments.find(paymentId);
        if (payment === undefined) throw paymentProblem('payment.not_found');
        const refund = planRefund(payment, request, { id: ids(), nowMs: clock.nowMs() });
        switch (await store.refunds.accept(key, refund, operatorId, clock.nowMs() + policy.leaseMs)) {
          case 'too_large':
            throw paymentProblem('refund.too_large');
          case 'key_used':
            return undefined;
          case 'accepted':
            await settle(refund.id);
            return showRefund(refund);
        }
      });
      return rejectIfDeclined(accepted);
    },

    claimDue(limit: number): Promise<{ id: RefundId }[]> {
      const nowMs = clock.nowMs();
      return store.refunds.claimDue(nowMs, nowMs + policy.leaseMs, limit);
    },

    settle,

    /** Applies a notice of the provider. */
    async applyNotice(id: RefundId, answer: ProviderAnswer): Promise<void> {
      const found = await store.refunds.find(id);
      if (found === undefined) return;
      if (answer.kind === 'ok') await recordSettlement(found, answer.ref);
      if (answer.kind === 'declined') await recordDecline(found.refund, answer.reason);
    },
  };

  /** Returns the same response for a repeated request, unless the provider has declined the refund since. */
  async function rejectIfDeclined(refund: Refund): Promise<Refund> {
    const found = await store.refunds.find(refund.id);
    if (found?.refund.status === 'failed') throw paymentProblem('refund.declined');
    return refund;
  }

  /** Calls the provider for a refund that this worker has claimed, and records the answer. */
  async function settle(id: RefundId): Promise<void> {
    const found = await store.refunds.find(id);
    if (found === undefined || found.refund.status !== 'pending') return;
    const { refund, payment } = found;
    const { captureRef } = payment;
    const call = {
      operation: 'refund',
      idempotencyKey: providerKey('refund', id, refund.attempt),
      keyFirstSentAtMs: refund.keyAtMs,
      reference: payment.id,
    } as const;
    const amount = { amountMinor: refund.amountMinor, currency: refund.currency };
    const answer = await calls.send(call, () => provider.refund({ ...call, amount, captureRef }));
    switch (answer.kind) {
      case 'ok':
        return recordSettlement(found, answer.ref);
      case 'declined':
        return recordDecline(refund, answer.reason);
      case 'unknown': {
        // A refund is never given up: it was promised to the rider, and only the provider knows whether it
        // was paid.
        const delayMs = retryDelayMs(policy, refund.attempts, random);
        log.warn({ refundId: id, attempts: refund.attempts, delayMs }, 'refund retry scheduled');
        const retryAtMs = clock.nowMs() + delayMs;
        if (answer.lookup === 'expired') return store.refunds.renewKey(refund, clock.nowMs(), retryAtMs);
        return store.refunds.postpone(refund, retryAtMs);
      }
    }
  }
}

function planRefund(
  payment: PaymentRecord,
  request: { amountMinor?: number; reason: string },
  { id, nowMs }: { id: RefundId; nowMs: number },
): RefundRecord {
  if (!isCaptured(payment)) throw paymentProblem('payment.not_captured');
  const remainingMinor = payment.amountMinor - payment.refundedMinor - payment.refundingMinor;
  const amountMinor = request.amountMinor ?? remainingMinor;
  if (amountMinor < 1 || amountMinor > remainingMinor) throw paymentProblem('refund.too_large');
  return {
    id,
    paymentId: payment.id,
    amountMinor,
    currency: payment.currency,
    reason: request.reason,
    status: 'pending',
    fence: 1,
    attempts: 1,
    attempt: 1,
    keyAtMs: nowMs,
    createdAtMs: nowMs,
  };
}
