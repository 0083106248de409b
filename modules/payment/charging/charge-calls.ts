import type { Clock } from '@platform/clock.ts';
import { amountOf, type Charge } from '../payment.ts';
import type { ProviderCall, ProviderCalls, ProviderOutcome } from '../provider/calls.ts';
import {
  type PaymentProvider,
  type ProviderAnswer,
  type ProviderStep,
  providerKey,
  zeroAmountRef,
} from '../provider/provider.ts';

export type ChargeCalls = ReturnType<typeof createChargeCalls>;

/** The calls to the provider that a charge makes, each under the key of its payment, step and attempt. */
export function createChargeCalls({
  provider,
  calls,
  clock,
}: {
  provider: PaymentProvider;
  calls: ProviderCalls;
  clock: Clock;
}) {
  return {
    authorise(charge: Charge, token: string): Promise<ProviderOutcome> {
      const call = callOf('authorise', charge);
      const amount = authorisedAmountOf(charge);
      return sendUnlessZero(amount.amountMinor, call, () => provider.authorise({ ...call, amount, token }));
    },

    capture(charge: Charge, authorisationRef: string): Promise<ProviderOutcome> {
      const call = callOf('capture', charge);
      const amount = amountOf(charge);
      return sendUnlessZero(amount.amountMinor, call, () =>
        provider.capture({ ...call, amount, authorisationRef }),
      );
    },

    void(charge: Charge, authorisationRef: string): Promise<ProviderOutcome> {
      const call = callOf('void', charge);
      const amount = authorisedAmountOf(charge);
      return sendUnlessZero(amount.amountMinor, call, () =>
        provider.void({ ...call, amount, authorisationRef }),
      );
    },

    /** Looks up the authorisation of the attempt without sending it. */
    lookUpAuthorisation: (charge: Charge): Promise<ProviderOutcome> =>
      calls.lookUp(callOf('authorise', charge)),
  };

  function callOf(step: ProviderStep, { id, attempt, openKey }: Charge): ProviderCall {
    return {
      operation: step,
      idempotencyKey: providerKey(step, id, attempt),
      keyFirstSentAtMs: openKey?.firstSentAtMs ?? clock.nowMs(),
      reference: id,
    };
  }

  async function sendUnlessZero(
    amountMinor: number,
    call: ProviderCall,
    perform: () => Promise<ProviderAnswer>,
  ): Promise<ProviderOutcome> {
    return amountMinor === 0 ? { kind: 'ok', ref: zeroAmountRef } : calls.send(call, perform);
  }
}

const authorisedAmountOf = ({ authoriseMinor, currency }: Charge) => ({
  amountMinor: authoriseMinor,
  currency,
});
