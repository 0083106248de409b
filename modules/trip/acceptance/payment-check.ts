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
  /** How long an accept waits at most. 0 disables the check. */
  paymentWaitMs: number;
}

/** The reason with which the system cancels a trip whose card was declined before a driver was assigned. */
export const paymentDeclinedReason = 'payment_declined';
export const cancelDeclinedAction = {
  kind: 'cancel',
  by: { actor: 'system' },
  reason: paymentDeclinedReason,
} as const;

export const wasPaymentDeclined = (trip: Trip): boolean =>
  trip.status === 'cancelled' && trip.end.by === 'system' && trip.end.reason === paymentDeclinedReason;

// Time for the response itself to come back.
const answerMs = 100;

/**
 * Reads the authorisation state of a trip when its driver accepts. Normally the provider has answered long
 * before. A state that does not arrive in time counts as `pending` and the trip goes on: a fare that can't
 * be charged becomes a debt.
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
      log.warn({ tripId, err: error }, 'failed to read the authorisation state of a trip');
      return 'pending';
    }
  }
}

export type CheckPayment = ReturnType<typeof createPaymentCheck>;
