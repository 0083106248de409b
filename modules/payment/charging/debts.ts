import type { PaymentId, PaymentMethodId, RiderId } from '@contracts/ids.ts';
import type { RiderPayment } from '@contracts/payments.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { IdempotencyKey } from '@platform/postgres/statements.ts';
import { withTimeout } from '@platform/with-timeout.ts';
import { paymentProblem } from '../errors.ts';
import { type Charge, debtSinceMsOf, failureReasonOf } from '../payment.ts';
import type { ChargePolicy } from '../settings.ts';
import type { PaymentStore } from '../store/store.ts';
import { showPaymentToRider } from '../views.ts';
import type { Charging } from './charging.ts';
import { reversalOfAuthorisation } from './new-reversals.ts';

export interface DebtsDeps {
  store: PaymentStore;
  charging: Charging;
  clock: Clock;
  ids: Ids;
  policy: ChargePolicy;
  /** Called when a reversal is due. */
  onReversalAdded: () => void;
}

export type Debts = ReturnType<typeof createDebts>;

/**
 * How long the request waits for the charge. After that the charge continues in the background, and the
 * response shows the debt as it is.
 */
const responseTimeoutMs = 6_000;

/** Payments that riders owe for completed trips, and how riders pay them. */
export function createDebts({ store, charging, clock, ids, policy, onReversalAdded }: DebtsDeps) {
  return {
    /**
     * Charges a debt to the given payment method as a new attempt. The result is captured, or still failed
     * while the provider has not answered. Throws `payment.not_found`, `payment_method.not_found`,
     * `payment.not_owed`, `payment.in_progress`, `payment.declined`, `idempotency.key_reused`.
     */
    async pay(
      id: PaymentId,
      riderId: RiderId,
      paymentMethodId: PaymentMethodId,
      key: IdempotencyKey,
    ): Promise<RiderPayment> {
      const [earlierAttempt, charge, ownMethodId] = await Promise.all([
        store.findResponse<{ attempt: number }>(key),
        store.payments.findChargeOf(id, riderId),
        store.methods.pick(riderId, paymentMethodId),
      ]);
      if (charge === undefined) throw paymentProblem('payment.not_found');
      if (earlierAttempt !== undefined) return outcomeOf(charge, earlierAttempt.attempt);
      if (ownMethodId === undefined) throw paymentProblem('payment_method.not_found');
      if (debtSinceMsOf(charge) === null) throw paymentProblem('payment.not_owed');
      if (isInProgress(charge)) throw paymentProblem('payment.in_progress');
      const begun = await beginAttempt(charge, riderId, paymentMethodId, key);
      if (begun === 'changed') throw paymentProblem('payment.in_progress');
      return outcomeOf(await store.payments.findChargeOf(id, riderId), charge.attempt + 1);
    },
  };

  async function beginAttempt(
    charge: Charge,
    riderId: RiderId,
    paymentMethodId: PaymentMethodId,
    key: IdempotencyKey,
  ) {
    const nowMs = clock.nowMs();
    const unusedAuthorisation = reversalOfAuthorisation(ids, charge);
    const leaseUntilMs = nowMs + policy.leaseMs;
    const begun = await store.payments.beginAttempt(charge, key, {
      riderId,
      paymentMethodId,
      unusedAuthorisation,
      leaseUntilMs,
      nowMs,
    });
    if (begun === 'begun') {
      if (unusedAuthorisation !== undefined) onReversalAdded();
      const claimed = await store.payments.findCharge(charge.id);
      if (claimed !== undefined) await withTimeout(clock, responseTimeoutMs, charging.charge(claimed));
    }
    return begun;
  }
}

/** Whether a call is in flight, or the outcome of an authorisation is unknown. */
const isInProgress = (charge: Charge): boolean =>
  charge.status !== 'failed' || (charge.openKey !== null && charge.authorisationRef === null);

/** The outcome of the attempt. An attempt that was followed by another one was declined. */
function outcomeOf(charge: Charge | undefined, attempt: number): RiderPayment {
  if (charge === undefined) throw paymentProblem('payment.not_found');
  if (debtSinceMsOf(charge) !== null && charge.attempt > attempt) {
    const failureReason = failureReasonOf(charge);
    throw paymentProblem('payment.declined', failureReason === null ? {} : { detail: failureReason });
  }
  return showPaymentToRider(charge);
}
