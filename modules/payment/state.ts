import type { Charge } from './payment.ts';

/**
 * What is to be done next for a payment:
 *
 *     rest          nothing until the trip, the rider or an operator asks for something
 *     authorise     ask the provider to set the amount aside
 *     replace       the authorisation is too small: release it, and authorise all of the amount
 *     capture       take what is authorised
 *     void          release what is authorised
 *     look_up       the trip ended while an authorisation was on its way: find out what became of it
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
    // A capture that was given up has left its authorisation: it is asked for again.
    case 'failed':
      return authorisationRef === null ? 'authorise' : 'capture';
    case 'captured':
    case 'refunded':
    case 'voided':
      return 'rest';
  }
}
