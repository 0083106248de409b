import type { Charge } from './payment.ts';

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
export type ChargeStep = 'rest' | 'authorise' | 'replace' | 'capture' | 'void' | 'look_up';

export function nextStep(
  charge: Pick<Charge, 'status' | 'intent' | 'authorisationRef' | 'amountMinor' | 'authoriseMinor'>,
): ChargeStep {
  const { status, intent, authorisationRef, amountMinor, authoriseMinor } = charge;
  switch (status) {
    case 'none':
      return intent === 'void' ? 'look_up' : 'authorise';
    case 'authorised':
      if (intent === 'hold') return 'rest';
      if (intent === 'void') return 'void';
      return amountMinor > authoriseMinor ? 'replace' : 'capture';
    case 'declined':
      return intent === 'charge' ? 'authorise' : 'rest';
    // A capture that was given up has kept its authorisation, so the capture is repeated.
    case 'failed':
      return authorisationRef === null ? 'authorise' : 'capture';
    case 'captured':
    case 'refunded':
    case 'voided':
      return 'rest';
  }
}
