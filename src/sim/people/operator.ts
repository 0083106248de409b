import type { Person } from './client.ts';
import type { Street } from './street.ts';

/** Gives some fares back, in part or whole, some of them twice at once. */
export async function liveAsOperator(person: Person, street: Street): Promise<never> {
  for (let read = 0; ; ) {
    await person.pause(2_000, 4_000);
    const receipt = street.receipts[read];
    if (receipt === undefined) continue;
    read++;
    if (!person.chance(0.5)) continue;
    const { paymentId } = receipt;
    const body = { reason: 'complaint', ...(person.chance(0.5) ? { amountMinor: 5_000 } : {}) };
    const refund = () =>
      person.insist('POST', `/v1/payments/${paymentId}/refunds`, {
        key: person.newKey(),
        action: { kind: 'refund', paymentId },
        body,
      });
    await Promise.all(person.chance(0.5) ? [refund(), refund()] : [refund()]);
  }
}
