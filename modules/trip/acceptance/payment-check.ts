import type { TripId } from '@contracts/ids.ts';
import type { AuthorisationState } from '@contracts/payments.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { withTimeout } from '@platform/with-timeout.ts';
import type { PaymentAuthorisations } from '../ports.ts';
import type { Trip } from '../trip.ts';

export interface PaymentCheckDeps {
  authorisations: PaymentAuthorisations;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** How long an accept waits at most; 0 for not at all. */
  paymentWaitMs: number;
}

/** Why the system ends a trip whose card was declined before a driver drives. */
export const paymentDeclinedReason = 'payment_declined';
export const cancelDeclinedAction = {
  kind: 'cancel',
  by: { actor: 'system' },
  reason: paymentDeclinedReason,
} as const;

export const wasPaymentDeclined = ({ status, end }: Trip): boolean =>
  status === 'cancelled' && end?.by === 'system' && end.reason === paymentDeclinedReason;

// The answer has to come back within the time as well.
const answerMs = 100;

/**
 * What is known of a trip's card when its driver accepts: normally the answer came long before. An answer
 * that does not come in time counts as unknown, and the trip goes on: what can't be charged is a debt.
 */
export function createPaymentCheck({ authorisations, clock, log, metrics, paymentWaitMs }: PaymentCheckDeps) {
  return async (tripId: TripId): Promise<AuthorisationState> => {
    if (paymentWaitMs === 0) return 'pending';
    const state = await ask(tripId);
    metrics.count('trip_payment_checks_total', { state });
    return state;
  };

  async function ask(tripId: TripId): Promise<AuthorisationState> {
    const withinMs = Math.max(0, paymentWaitMs - answerMs);
    try {
      const answer = await withTimeout(clock, paymentWaitMs, authorisations.waitForState(tripId, withinMs));
      return answer === 'late' ? 'pending' : answer;
    } catch (error) {
      log.warn({ tripId, err: error }, 'the authorisation of a trip is unknown');
      return 'pending';
    }
  }
}

export type CheckPayment = ReturnType<typeof createPaymentCheck>;
