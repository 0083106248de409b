import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Random } from '@platform/random.ts';
import type { Charge } from '../payment.ts';
import { type ProviderOutcome, retryDelayMs } from '../provider/calls.ts';
import type { ChargePolicy } from '../settings.ts';
import { nextStep } from '../state.ts';
import type { PaymentStore } from '../store/store.ts';
import type { AnswerRecorder } from './answers.ts';
import type { ChargeCalls } from './charge-calls.ts';
import type { FailureRecorder } from './failures.ts';

/*
 * State changes of a payment, by the intent of its trip:
 *
 *   hold (the trip goes on)          none ──▶ authorised, or declined
 *   charge (the trip is completed)   none, authorised, declined ──▶ captured, or failed: a debt, which is retried
 *   void (the trip ended otherwise)  none, authorised ──▶ voided
 *
 * Each arrow is one SQL statement. If the process dies between two statements, the timer of the row makes the
 * charge due again. Repeating a call is safe while the provider remembers its idempotency key, which is built
 * from the payment, the step and the attempt; an older key is looked up in the provider's list and never sent
 * again. An answer may come from the call, from that list or as a notice, twice or on two instances at the same
 * time: the first write changes the state, the others change nothing (see answers.ts).
 */

export interface ChargingDeps {
  store: PaymentStore;
  chargeCalls: ChargeCalls;
  answers: AnswerRecorder;
  failures: FailureRecorder;
  clock: Clock;
  random: Random;
  log: Log;
  policy: ChargePolicy;
}

export type Charging = ReturnType<typeof createCharging>;

// Authorise and capture, or one of them after a replacement or a renewed key. More steps take another
// claim.
const stepsMax = 4;

export function createCharging(deps: ChargingDeps) {
  const { store, chargeCalls, answers, failures, clock, policy } = deps;
  const scheduleRetry = createRetries(deps);

  return {
    claimDue(limit: number): Promise<Charge[]> {
      const nowMs = clock.nowMs();
      return store.payments.claimDue(nowMs, nowMs + policy.leaseMs, limit);
    },

    /** Runs the steps of a claimed payment for as long as the provider answers. */
    async charge(claimed: Charge): Promise<void> {
      let current: Charge | undefined = claimed;
      for (let step = 0; step < stepsMax && current !== undefined; step++) {
        const isFinished = await advance(current);
        // The charge is read again because the trip may have ended or a notice may have been handled
        // meanwhile.
        current = isFinished ? undefined : await store.payments.findCharge(claimed.id);
      }
    },
  };

  /** Runs the next step. Returns true when the charge has nothing more to do for now. */
  async function advance(charge: Charge): Promise<boolean> {
    const { id, attempt, token } = charge;
    const next = nextStep(charge);
    switch (next.step) {
      case 'rest':
        return true;
      case 'authorise': {
        if (token === null) return failures.recordDecline(charge, 'payment_method_missing');
        const answer = await chargeCalls.authorise(charge, token);
        if (answer.kind === 'ok') return continueAuthorised(charge, answer.ref);
        if (answer.kind === 'declined') return failures.recordDecline(charge, answer.reason);
        return scheduleRetry(charge, answer.lookup);
      }
      case 'capture': {
        const answer = await chargeCalls.capture(charge, next.authorisationRef);
        if (answer.kind === 'ok')
          return (await answers.recordCapture(id, attempt, answer.ref)) === 'finished';
        if (answer.kind === 'declined') return failures.recordDecline(charge, answer.reason);
        return scheduleRetry(charge, answer.lookup);
      }
      case 'void': {
        const answer = await chargeCalls.void(charge, next.authorisationRef);
        if (answer.kind === 'unknown') return scheduleRetry(charge, answer.lookup);
        // Declined: the authorisation has expired or was voided before. Either way nothing is held any more.
        await failures.recordVoid(charge);
        return true;
      }
      case 'look_up':
        return lookUp(charge);
      case 'replace':
        await answers.replaceAuthorisation(charge);
        return false;
    }
  }

  async function continueAuthorised({ id, attempt }: Charge, ref: string): Promise<boolean> {
    return (await answers.recordAuthorisation(id, attempt, ref, policy.leaseMs)) === 'finished';
  }

  /**
   * Looks up the authorisation without sending it again. The last call may still be in flight, so an
   * authorisation that is not listed counts as absent only after the lease has passed.
   */
  async function lookUp(charge: Charge): Promise<boolean> {
    const { openKey, authoriseMinor } = charge;
    if (openKey !== null && authoriseMinor > 0) {
      const answer = await chargeCalls.lookUpAuthorisation(charge);
      if (answer.kind === 'ok') return continueAuthorised(charge, answer.ref);
      if (answer.kind === 'unknown') {
        const certainAtMs = openKey.lastSentAtMs + policy.leaseMs;
        const isCertain = answer.lookup === 'expired' || clock.nowMs() >= certainAtMs;
        if (!isCertain || answer.lookup === 'unreachable')
          return scheduleRetry(charge, answer.lookup, certainAtMs);
      }
    }
    await failures.recordVoid(charge);
    return true;
  }
}

/**
 * Schedules a retry after a call without an answer. A hold and a void are retried until there is an answer. A
 * completed trip becomes a debt after `attemptsMax` attempts; its open attempt is still retried at the longest
 * delay. A capture is given up only after the provider has said that there is none, because the money may have
 * been taken.
 */
function createRetries({ store, failures, clock, random, log, policy }: ChargingDeps) {
  return async (
    charge: Charge,
    lookup: Extract<ProviderOutcome, { kind: 'unknown' }>['lookup'],
    notBeforeMs = 0,
  ): Promise<boolean> => {
    const { id, attempts, intent, status } = charge;
    if (lookup === 'expired') {
      await store.payments.renewKey(charge, clock.nowMs());
      return false;
    }
    const mayGiveUp =
      intent === 'charge' && (status === 'none' || status === 'declined' || lookup === 'absent');
    if (attempts >= policy.attemptsMax && mayGiveUp && status !== 'failed') {
      return failures.recordGivingUp(charge, clock.nowMs() + policy.retryMsMax);
    }
    const delayMs = retryDelayMs(policy, attempts, random);
    log.warn({ paymentId: id, attempts, lookup, delayMs }, 'charge retry scheduled');
    await store.payments.postpone(charge, Math.max(clock.nowMs() + delayMs, notBeforeMs));
    return true;
  };
}
