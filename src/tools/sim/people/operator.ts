import type { OutOfBand } from './out-of-band.ts';
import type { SimPerson } from './person.ts';

const handedOverStates = new Set(['offered', 'assigned', 'arrived', 'in_progress']);

/** Gives some fares back, in part or whole, some of them twice at once; now and then sees to a trip. */
export async function runOperator(person: SimPerson, street: OutOfBand): Promise<never> {
  for (let read = 0; ; ) {
    await person.pause(2_000, 4_000);
    if (person.isLikely(0.15)) await seeTo(person, street);
    const receipt = street.receipts[read];
    if (receipt === undefined) continue;
    read++;
    if (!person.isLikely(0.5)) continue;
    const { paymentId } = receipt;
    const body = { reason: 'complaint', ...(person.isLikely(0.5) ? { amountMinor: 5_000 } : {}) };
    const refund = () =>
      person.requestUntilAnswered('POST', `/v1/payments/${paymentId}/refunds`, {
        key: person.newKey(),
        action: { kind: 'refund', paymentId },
        body,
      });
    await Promise.all(person.isLikely(0.5) ? [refund(), refund()] : [refund()]);
  }
}

/** Hands over, completes or cancels one of the newest trips, whatever its state. */
async function seeTo(person: SimPerson, street: OutOfBand): Promise<void> {
  const newest = street.trips.slice(-3);
  const trip = newest[Math.floor(person.random.next() * newest.length)];
  if (trip === undefined) return;
  const path = `/v1/ops/trips/${trip.tripId}`;
  const { status, json } = await person.requestUntilAnswered('GET', path);
  const state = readState(json);
  if (status !== 200 || state === undefined)
    return person.history.recordViolation(`an operator was shown ${status} instead of trip ${trip.tripId}`);
  const body = { reason: 'somebody called' };
  if (handedOverStates.has(state) && person.isLikely(0.6)) {
    const action = { kind: 'hand_over', tripId: trip.tripId } as const;
    const handOver = { ...body, pickup: street.randomPoint(person.random) };
    await person.requestUntilAnswered('POST', `${path}/hand-over`, { action, body: handOver });
    return;
  }
  const kind = state === 'in_progress' ? 'complete' : 'cancel';
  await person.requestUntilAnswered('POST', `${path}/${kind}`, {
    action: { kind, tripId: trip.tripId },
    body,
  });
}

function readState({ trip }: Record<string, unknown>): string | undefined {
  const hasState = typeof trip === 'object' && trip !== null && 'status' in trip;
  return hasState ? String(trip.status) : undefined;
}
