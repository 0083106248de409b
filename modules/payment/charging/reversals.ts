import type { PaymentId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Random } from '@platform/random.ts';
import type { Reversal } from '../payment.ts';
import { type ProviderCalls, retryDelayMs } from '../provider/calls.ts';
import {
  type PaymentProvider,
  type ProviderAnswer,
  parseProviderKey,
  providerKey,
} from '../provider/provider.ts';
import type { ChargePolicy } from '../settings.ts';
import type { PaymentStore } from '../store/store.ts';
import type { AnswerRecorder } from './answers.ts';

export interface ReversalsDeps {
  store: PaymentStore;
  provider: PaymentProvider;
  calls: ProviderCalls;
  answers: AnswerRecorder;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  policy: ChargePolicy;
}

export type Reversals = ReturnType<typeof createReversals>;

/**
 * Reverses what no payment needs: authorisations that a later attempt replaced, and captures that were
 * reported after the payment was settled. A reversal is never given up, because the money belongs to the
 * rider.
 */
export function createReversals(deps: ReversalsDeps) {
  const { store, provider, calls, answers, clock, random, log, metrics, policy } = deps;

  return {
    claimDue(limit: number): Promise<Reversal[]> {
      const nowMs = clock.nowMs();
      return store.reversals.claimDue(nowMs, nowMs + policy.leaseMs, limit);
    },

    async run(reversal: Reversal): Promise<void> {
      const { id, paymentId, kind, providerRef, amountMinor, currency, attempt, keyAtMs } = reversal;
      const call = {
        operation: 'reverse',
        idempotencyKey: providerKey('reverse', id, attempt),
        keyFirstSentAtMs: keyAtMs,
        reference: paymentId,
      } as const;
      const request = { ...call, amount: { amountMinor, currency } };
      const answer = await calls.send(call, () =>
        kind === 'void'
          ? provider.void({ ...request, authorisationRef: providerRef })
          : provider.refund({ ...request, captureRef: providerRef }),
      );
      if (answer.kind !== 'unknown') return finish(reversal, answer);
      const retryAtMs = clock.nowMs() + retryDelayMs(policy, reversal.attempts, random);
      if (answer.lookup === 'expired') return store.reversals.renewKey(reversal, retryAtMs);
      log.warn({ paymentId, reversalId: id, lookup: answer.lookup }, 'reversal retry scheduled');
      return store.reversals.postpone(reversal, retryAtMs);
    },

    /** Applies a notice of the provider. */
    async applyNotice(id: string, answer: ProviderAnswer): Promise<void> {
      const reversal = await store.reversals.find(id);
      if (reversal !== undefined && answer.kind !== 'unknown') await finish(reversal, answer);
    },
  };

  async function finish(
    reversal: Reversal,
    answer: Exclude<ProviderAnswer, { kind: 'unknown' }>,
  ): Promise<void> {
    const { id, paymentId, kind } = reversal;
    const status = answer.kind === 'ok' ? 'done' : 'refused';
    if (answer.kind === 'declined') {
      log.warn({ paymentId, reversalId: id, kind, reason: answer.reason }, 'provider declined a reversal');
      // An authorisation that cannot be voided may have been captured by a call without an answer. Then the
      // list of the provider shows the capture.
      if (kind === 'void' && !(await recordListedCaptures(paymentId))) return postpone(reversal);
    }
    await store.reversals.finish(reversal, status, clock.nowMs());
    metrics.count('payment_reversals_total', { kind, status });
  }

  async function recordListedCaptures(paymentId: PaymentId): Promise<boolean> {
    const records = await calls.list(paymentId);
    for (const { idempotencyKey, answer } of records ?? []) {
      const key = parseProviderKey(idempotencyKey);
      if (key?.step !== 'capture' || answer.kind !== 'ok') continue;
      await answers.recordCapture(paymentId, key.attempt, answer.ref);
    }
    return records !== undefined;
  }

  function postpone(reversal: Reversal): Promise<void> {
    return store.reversals.postpone(
      reversal,
      clock.nowMs() + retryDelayMs(policy, reversal.attempts, random),
    );
  }
}
