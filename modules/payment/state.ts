import {
  authorisationRefOf,
  type Charge,
  isCaptured,
  isSettled,
  type PaymentIntent,
  type PaymentRecord,
} from './payment.ts';

/**
 * The next provider operation for a payment:
 *
 *     rest          nothing until the trip, the rider or an operator requires something
 *     authorise     authorise the amount on the card
 *     replace       the authorisation is too small: void it and authorise the whole amount
 *     capture       capture the authorised amount
 *     void          void the authorisation
 *     look_up       the trip ended while an authorisation was in flight: look up its outcome
 */
export type ChargeStep =
  | { step: 'rest' }
  | { step: 'authorise' }
  | { step: 'replace'; authorisationRef: string }
  | { step: 'capture'; authorisationRef: string }
  | { step: 'void'; authorisationRef: string }
  | { step: 'look_up' };

export function nextStep(charge: Charge): ChargeStep {
  switch (charge.status) {
    case 'none':
      return { step: charge.intent === 'void' ? 'look_up' : 'authorise' };
    case 'authorised': {
      const { authorisationRef, amountMinor, authoriseMinor } = charge;
      switch (charge.intent) {
        case 'hold':
          return { step: 'rest' };
        case 'void':
          return { step: 'void', authorisationRef };
        case 'charge':
          return { step: amountMinor > authoriseMinor ? 'replace' : 'capture', authorisationRef };
      }
      break;
    }
    case 'declined':
      return { step: charge.intent === 'charge' ? 'authorise' : 'rest' };
    case 'failed': {
      const { authorisationRef } = charge;
      // A capture that was given up has kept its authorisation, so the capture is repeated.
      return authorisationRef === null ? { step: 'authorise' } : { step: 'capture', authorisationRef };
    }
    case 'captured':
    case 'refunded':
    case 'voided':
      return { step: 'rest' };
  }
}

/** Whether the payment still waits for the answer to this step of this attempt. */
export const isAwaitingAnswer = (charge: Charge, step: 'authorise' | 'capture', attempt: number): boolean =>
  charge.attempt === attempt && nextStep(charge).step === step;

/**
 * What an operation that the provider reports means for the payment. `accept`: the payment takes it.
 * `known`: the payment has taken it before. `reverse`: the payment does not need it.
 */
export type AnswerDecision = 'accept' | 'known' | 'reverse';

/** Decides on an authorisation by the given attempt. */
export function decideAuthorisation(charge: Charge, attempt: number, ref: string): AnswerDecision {
  const currentRef = authorisationRefOf(charge);
  if (currentRef === ref) return 'known';
  return charge.attempt === attempt && currentRef === null && !isSettled(charge) ? 'accept' : 'reverse';
}

/** Decides on a capture, by whichever attempt: a completed trip is owed until it is captured once. */
export function decideCapture(payment: PaymentRecord, ref: string): AnswerDecision {
  if (isCaptured(payment)) return payment.captureRef === ref ? 'known' : 'reverse';
  return payment.intent === 'charge' ? 'accept' : 'reverse';
}

/** The status of a payment whose attempt the provider declined. */
export const statusAfterDecline = (intent: PaymentIntent): 'declined' | 'failed' | 'voided' => {
  switch (intent) {
    case 'hold':
      return 'declined';
    case 'charge':
      return 'failed';
    case 'void':
      return 'voided';
  }
};
