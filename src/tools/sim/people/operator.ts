import type { OutOfBand } from './out-of-band.ts';
import type { SimPerson } from './person.ts';

const reassignableStatuses = new Set(['offered', 'assigned', 'arrived', 'in_progress']);

/** An operator: refunds some fares in part or in full, some of them twice at once, and sometimes intervenes in a trip. */
export async function runOperator(person: SimPerson, outOfBand: OutOfBand): Promise<never> {
  for (let read = 0; ; ) {
    await person.pause(2_000, 4_000);
    if (person.isLikely(0.15)) await intervene(person, outOfBand);
    const receipt = outOfBand.receipts[read];
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

/** Reassigns, completes or cancels one of the newest trips, whatever its status. */
async function intervene(person: SimPerson, outOfBand: OutOfBand): Promise<void> {
  const newest = outOfBand.trips.slice(-3);
  const trip = newest[Math.floor(person.random.next() * newest.length)];
  if (trip === undefined) return;
  const path = `/v1/ops/trips/${trip.tripId}`;
  const { status, json } = await person.requestUntilAnswered('GET', path);
  const tripStatus = readStatus(json);
  if (status !== 200 || tripStatus === undefined)
    return person.history.recordViolation(`an operator was shown ${status} instead of trip ${trip.tripId}`);
  const body = { reason: 'somebody called' };
  if (reassignableStatuses.has(tripStatus) && person.isLikely(0.6)) {
    const action = { kind: 'hand_over', tripId: trip.tripId } as const;
    const reassignment = { ...body, pickup: outOfBand.randomPoint(person.random) };
    await person.requestUntilAnswered('POST', `${path}/hand-over`, { action, body: reassignment });
    return;
  }
  const kind = tripStatus === 'in_progress' ? 'complete' : 'cancel';
  await person.requestUntilAnswered('POST', `${path}/${kind}`, {
    action: { kind, tripId: trip.tripId },
    body,
  });
}

function readStatus({ trip }: Record<string, unknown>): string | undefined {
  const hasState = typeof trip === 'object' && trip !== null && 'status' in trip;
  return hasState ? String(trip.status) : undefined;
}
