import type { Person } from './client.ts';
import type { Street } from './street.ts';

const handedOverStates = new Set(['offered', 'assigned', 'arrived', 'in_progress']);

/** Gives some fares back, in part or whole, some of them twice at once; now and then sees to a trip. */
export async function liveAsOperator(person: Person, street: Street): Promise<never> {
  for (let read = 0; ; ) {
    await person.pause(2_000, 4_000);
    if (person.chance(0.15)) await seeTo(person, street);
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

/** Hands over, completes or cancels one of the newest trips, whatever its state. */
async function seeTo(person: Person, street: Street): Promise<void> {
  const newest = street.trips.slice(-3);
  const trip = newest[Math.floor(person.random.next() * newest.length)];
  if (trip === undefined) return;
  const path = `/v1/ops/trips/${trip.tripId}`;
  const { status, json } = await person.insist('GET', path);
  const state = readState(json);
  if (status !== 200 || state === undefined)
    return person.history.violation(`an operator was shown ${status} instead of trip ${trip.tripId}`);
  const body = { reason: 'somebody called' };
  if (handedOverStates.has(state) && person.chance(0.6)) {
    const action = { kind: 'hand_over', tripId: trip.tripId } as const;
    const handOver = { ...body, pickup: street.point(person.random) };
    await person.insist('POST', `${path}/hand-over`, { action, body: handOver });
    return;
  }
  const kind = state === 'in_progress' ? 'complete' : 'cancel';
  await person.insist('POST', `${path}/${kind}`, { action: { kind, tripId: trip.tripId }, body });
}

function readState({ trip }: Record<string, unknown>): string | undefined {
  const hasState = typeof trip === 'object' && trip !== null && 'status' in trip;
  return hasState ? String(trip.status) : undefined;
}
