import type { Ids } from '@platform/ids.ts';
import { authorisationRefOf, type Charge, type Reversal } from '../payment.ts';
import { zeroAmountRef } from '../provider/provider.ts';
import type { NewReversal } from '../store/reversals.ts';

/** An operation at the provider that is to be reversed. */
export interface UnneededOperation {
  kind: Reversal['kind'];
  ref: string;
  amountMinor: number;
}

export function newReversal(
  ids: Ids,
  { currency }: Charge,
  { kind, ref, amountMinor }: UnneededOperation,
): NewReversal {
  return { id: ids<string>(), kind, providerRef: ref, amountMinor, currency };
}

/** The reversal of the current authorisation, if there is one at the provider. */
export function reversalOfAuthorisation(ids: Ids, charge: Charge): NewReversal | undefined {
  const ref = authorisationRefOf(charge);
  return ref === null || ref === zeroAmountRef
    ? undefined
    : newReversal(ids, charge, { kind: 'void', ref, amountMinor: charge.authoriseMinor });
}
