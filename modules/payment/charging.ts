import type { PaymentId } from '@contracts/ids.ts';
import type { PaymentStatus } from '@contracts/payments.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Random } from '@platform/random.ts';
import { paymentEvent } from './events.ts';
import { captureTransfer } from './ledger.ts';
import { amountOf, type Charge, capturedShares, snapshotOf } from './payments.ts';
import { type PaymentProvider, type ProviderAnswer, providerKeys } from './provider.ts';
import { type ProviderCalls, retryDelayMs, type Settled } from './provider-calls.ts';
import type { ChargePolicy } from './settings.ts';
import type { PaymentStore } from './store.ts';

/*
 *            authorise ok            capture ok
 *   none ───────────────▶ authorised ───────────▶ captured ──▶ refunded (see refunds.ts)
 *    │ declined, or given up   │ declined, or given up
 *    └──────────▶ failed ◀─────┘
 *
 * Each arrow is one statement. Between two of them the process may die: the row's timer brings the
 * charge back, and the provider's idempotency key, made of the payment and the step, makes asking
 * again harmless. An answer may come from the call, from a look-up, or as a notice, twice or at the
 * same time on two instances: the first to write moves the state, the others change nothing.
 */

export interface ChargingOptions {
  store: PaymentStore;
  provider: PaymentProvider;
  calls: ProviderCalls;
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  policy: ChargePolicy;
  /** Called when an event waits in the outbox. */
  onTold: () => void;
}

type Step = 'authorise' | 'capture';
type Unsettled = Extract<PaymentStatus, 'none' | 'authorised'>;

export type Charging = ReturnType<typeof createCharging>;

export function createCharging(options: ChargingOptions) {
  const { store, provider, calls, clock, random, ids, log, metrics, policy, onTold } = options;

  return {
    claimDue(limit: number): Promise<Charge[]> {
      const nowMs = clock.nowMs();
      return store.payments.claimDue(nowMs, nowMs + policy.leaseMs, limit);
    },

    /** Takes a claimed payment as far as the provider's answers go. */
    async charge(claimed: Charge): Promise<void> {
      const authorised = claimed.status === 'none' ? await authorise(claimed) : claimed;
      if (authorised?.status === 'authorised') await capture(authorised);
    },

    applyNotice,
  };

  /** An answer that came by itself. True when the charge can go on at once. */
  async function applyNotice(step: Step, id: PaymentId, answer: ProviderAnswer): Promise<boolean> {
    const charge = await store.payments.findCharge(id);
    if (charge === undefined || answer.kind === 'unknown') return false;
    if (step === 'capture') {
      if (answer.kind === 'ok') await captured(charge, answer.ref);
      else await failed(charge, 'authorised', answer.reason);
      return false;
    }
    if (answer.kind === 'declined') {
      await failed(charge, 'none', answer.reason);
      return false;
    }
    const nowMs = clock.nowMs();
    return store.payments.authorise(id, answer.ref, nowMs, nowMs);
  }

  /** The charge after the step, or undefined when it ends here for now. */
  async function authorise(charge: Charge): Promise<Charge | undefined> {
    const { id, token } = charge;
    if (token === null) {
      await failed(charge, 'none', 'payment_method_missing');
      return undefined;
    }
    const idempotencyKey = providerKeys.authorise(id);
    const answer = await calls.ask('authorise', idempotencyKey, () =>
      provider.authorise({ idempotencyKey, reference: id, amount: amountOf(charge), token }),
    );
    switch (answer.kind) {
      case 'ok': {
        const nowMs = clock.nowMs();
        await store.payments.authorise(id, answer.ref, nowMs + policy.leaseMs, nowMs);
        // Read back rather than assumed: a notice may have been quicker, and gone further.
        return store.payments.findCharge(id);
      }
      case 'declined':
        await failed(charge, 'none', answer.reason);
        return undefined;
      case 'unknown':
        await tryAgain(charge, answer.seen);
        return undefined;
    }
  }

  async function capture(charge: Charge): Promise<void> {
    const { id, authorisationRef } = charge;
    if (authorisationRef === null) throw new Error(`payment ${id} is authorised without a reference`);
    const idempotencyKey = providerKeys.capture(id);
    const answer = await calls.ask('capture', idempotencyKey, () =>
      provider.capture({ idempotencyKey, reference: id, amount: amountOf(charge), authorisationRef }),
    );
    switch (answer.kind) {
      case 'ok':
        return captured(charge, answer.ref);
      case 'declined':
        return failed(charge, 'authorised', answer.reason);
      case 'unknown':
        return tryAgain(charge, answer.seen);
    }
  }

  async function captured(charge: Charge, ref: string): Promise<void> {
    const nowMs = clock.nowMs();
    const transfer = captureTransfer(charge.driverId, charge.currency, capturedShares(charge));
    const moved = await store.payments.capture(
      charge.id,
      ref,
      { id: ids(), kind: 'capture', paymentId: charge.id, refundId: null, transfer },
      paymentEvent(ids, 'payment.captured.v1', snapshotOf(charge, { status: 'captured' }, nowMs)),
      nowMs,
    );
    if (moved) ended('captured');
  }

  async function failed(charge: Charge, from: Unsettled, reason: string, fence?: number): Promise<void> {
    const nowMs = clock.nowMs();
    const moved = await store.payments.fail(
      { id: charge.id, from, reason, ...(fence === undefined ? {} : { fence }) },
      paymentEvent(
        ids,
        'payment.failed.v1',
        snapshotOf(charge, { status: 'failed', failureReason: reason }, nowMs),
      ),
      nowMs,
    );
    if (!moved) return;
    log.info({ paymentId: charge.id, reason }, 'a charge failed');
    ended('failed');
  }

  /**
   * No answer. An authorisation is given up after some tries: if one exists after all, it lapses by
   * itself. A capture is given up only when the provider has said that there is none: otherwise the
   * money may have been taken, so the charge stays ours, at the longest delay, until the provider speaks.
   */
  async function tryAgain(
    charge: Charge,
    seen: Extract<Settled, { kind: 'unknown' }>['seen'],
  ): Promise<void> {
    const from = charge.status === 'none' ? 'none' : 'authorised';
    const mayGiveUp = from === 'none' || seen === 'absent';
    if (charge.attempts >= policy.attemptsMax && mayGiveUp) {
      return failed(charge, from, 'provider_unreachable', charge.fence);
    }
    const delayMs = retryDelayMs(policy, charge.attempts, random);
    log.warn(
      { paymentId: charge.id, attempts: charge.attempts, seen, delayMs },
      'a charge waits for a retry',
    );
    await store.payments.postpone(charge, clock.nowMs() + delayMs);
  }

  function ended(status: 'captured' | 'failed'): void {
    metrics.count('payments_total', { status });
    onTold();
  }
}
