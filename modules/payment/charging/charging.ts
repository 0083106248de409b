import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Random } from '@platform/random.ts';
import { amountOf, type Charge } from '../payment.ts';
import {
  type ProviderCall,
  type ProviderCalls,
  type ProviderOutcome,
  retryDelayMs,
} from '../provider/calls.ts';
import {
  type PaymentProvider,
  type ProviderAnswer,
  type ProviderStep,
  providerKey,
  zeroAmountRef,
} from '../provider/provider.ts';
import type { ChargePolicy } from '../settings.ts';
import { nextStep } from '../state.ts';
import type { PaymentStore } from '../store/store.ts';
import type { AnswerRecorder } from './answers.ts';

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
  provider: PaymentProvider;
  calls: ProviderCalls;
  answers: AnswerRecorder;
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
  const { store, provider, calls, answers, clock, random, log, policy } = deps;

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
    const { id, attempt } = charge;
    switch (nextStep(charge)) {
      case 'rest':
        return true;
      case 'authorise': {
        if (charge.token === null) return answers.recordDecline(charge, 'payment_method_missing');
        const answer = await authorise(charge, charge.token);
        if (answer.kind === 'ok')
          return (await answers.recordAuthorisation(id, attempt, answer.ref, policy.leaseMs)) === 'finished';
        if (answer.kind === 'declined') return answers.recordDecline(charge, answer.reason);
        return scheduleRetry(charge, answer.lookup);
      }
      case 'capture': {
        const answer = await capture(charge);
        if (answer.kind === 'ok')
          return (await answers.recordCapture(id, attempt, answer.ref)) === 'finished';
        if (answer.kind === 'declined') return answers.recordDecline(charge, answer.reason);
        return scheduleRetry(charge, answer.lookup);
      }
      case 'void':
        return voidAuthorisation(charge);
      case 'look_up':
        return lookUp(charge);
      case 'replace':
        await answers.replaceAuthorisation(charge);
        return false;
    }
  }

  function providerCallOf(step: ProviderStep, { id, attempt, keyAtMs }: Charge): ProviderCall {
    return {
      operation: step,
      idempotencyKey: providerKey(step, id, attempt),
      keyFirstSentAtMs: keyAtMs ?? clock.nowMs(),
      reference: id,
    };
  }

  function authorise(charge: Charge, token: string): Promise<ProviderOutcome> {
    const amount = { amountMinor: charge.authoriseMinor, currency: charge.currency };
    const call = providerCallOf('authorise', charge);
    return sendUnlessZero(amount.amountMinor, call, () => provider.authorise({ ...call, amount, token }));
  }

  function capture(charge: Charge): Promise<ProviderOutcome> {
    const call = providerCallOf('capture', charge);
    const authorisationRef = authorisationRefOf(charge);
    return sendUnlessZero(charge.amountMinor, call, () =>
      provider.capture({ ...call, amount: amountOf(charge), authorisationRef }),
    );
  }

  async function voidAuthorisation(charge: Charge): Promise<boolean> {
    const call = providerCallOf('void', charge);
    const amount = { amountMinor: charge.authoriseMinor, currency: charge.currency };
    const authorisationRef = authorisationRefOf(charge);
    const answer = await sendUnlessZero(amount.amountMinor, call, () =>
      provider.void({ ...call, amount, authorisationRef }),
    );
    if (answer.kind === 'unknown') return scheduleRetry(charge, answer.lookup);
    // Declined: the authorisation has expired or was voided before. Either way nothing is held any more.
    await answers.recordVoid(charge);
    return true;
  }

  /**
   * Looks up the authorisation without sending it again. The last call may still be in flight, so an
   * authorisation that is not listed counts as absent only after the lease has passed.
   */
  async function lookUp(charge: Charge): Promise<boolean> {
    const { id, attempt, keyAtMs, sentAtMs, authoriseMinor } = charge;
    if (keyAtMs === null || authoriseMinor === 0) {
      await answers.recordVoid(charge);
      return true;
    }
    const answer = await calls.lookUp(providerCallOf('authorise', charge));
    if (answer.kind === 'ok')
      return (await answers.recordAuthorisation(id, attempt, answer.ref, policy.leaseMs)) === 'finished';
    const certainAtMs = (sentAtMs ?? keyAtMs) + policy.leaseMs;
    const isCertain =
      answer.kind === 'declined' || answer.lookup === 'expired' || clock.nowMs() >= certainAtMs;
    if (answer.kind === 'declined' || (isCertain && answer.lookup !== 'unreachable')) {
      await answers.recordVoid(charge);
      return true;
    }
    return scheduleRetry(charge, answer.lookup, certainAtMs);
  }

  async function sendUnlessZero(
    amountMinor: number,
    call: ProviderCall,
    perform: () => Promise<ProviderAnswer>,
  ): Promise<ProviderOutcome> {
    return amountMinor === 0 ? { kind: 'ok', ref: zeroAmountRef } : calls.send(call, perform);
  }

  /**
   * Schedules a retry after a call without an answer. A hold and a void are retried until there is an
   * answer. A completed trip becomes a debt after `attemptsMax` attempts; its open attempt is still retried
   * at the longest delay. A capture is given up only after the provider has said that there is none,
   * because the money may have been taken.
   */
  async function scheduleRetry(
    charge: Charge,
    lookup: Extract<ProviderOutcome, { kind: 'unknown' }>['lookup'],
    notBeforeMs = 0,
  ): Promise<boolean> {
    const { id, attempts, intent, status } = charge;
    if (lookup === 'expired') {
      await store.payments.renewKey(charge, clock.nowMs());
      return false;
    }
    const mayGiveUp =
      intent === 'charge' && (status === 'none' || status === 'declined' || lookup === 'absent');
    if (attempts >= policy.attemptsMax && mayGiveUp && status !== 'failed') {
      return answers.recordGivingUp(charge, clock.nowMs() + policy.retryMsMax);
    }
    const delayMs = retryDelayMs(policy, attempts, random);
    log.warn({ paymentId: id, attempts, lookup, delayMs }, 'charge retry scheduled');
    await store.payments.postpone(charge, Math.max(clock.nowMs() + delayMs, notBeforeMs));
    return true;
  }

  function authorisationRefOf({ id, authorisationRef }: Charge): string {
    if (authorisationRef === null) throw new Error(`payment ${id} has no authorisation`);
    return authorisationRef;
  }
}
