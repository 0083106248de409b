import type { OutOfBand } from './out-of-band.ts';
import type { SimPerson } from './person.ts';

const cards = [
  'tok_visa',
  'tok_visa',
  'tok_visa',
  'tok_mastercard',
  'tok_double',
  'tok_timeout',
  'tok_slow',
  'tok_declined',
  'tok_no_funds',
];
const finalStatuses = new Set(['completed', 'cancelled', 'unfulfilled']);
const settledStatuses = new Set(['captured', 'failed', 'refunded']);
const receiptTriesMax = 40;

/** A rider: requests some trips one after another, pays and rates them, and sometimes cancels. */
export async function runRider(person: SimPerson, outOfBand: OutOfBand, trips: number): Promise<void> {
  await person.pause(0, 3_000);
  const token = cards[Math.floor(person.random.next() * cards.length)];
  await person.requestUntilAnswered('POST', '/v1/payment-methods', {
    key: person.newKey(),
    action: { kind: 'method' },
    body: { kind: 'card', token },
  });
  for (let n = 0; n < trips; n++) {
    const tripId = await requestTrip(person, outOfBand);
    if (tripId === undefined) continue;
    await tryToReadOthersTrip(person, outOfBand);
    const status = await followTrip(person, tripId);
    if (status === 'completed') await payAndRate(person, outOfBand, tripId);
    await person.pause(500, 4_000);
  }
}

async function requestTrip(person: SimPerson, outOfBand: OutOfBand): Promise<string | undefined> {
  const quote = await person.requestUntilAnswered('POST', '/v1/quotes', {
    key: person.newKey(),
    action: { kind: 'quote' },
    body: {
      pickup: outOfBand.randomPoint(person.random),
      dropoff: outOfBand.randomPoint(person.random),
      product: 'car',
    },
  });
  if (quote.code === 'payment.debt_outstanding') {
    await payDebts(person);
    return undefined;
  }
  if (quote.status !== 201) return recordUnexpected(person, 'a quote', quote);
  const quoteId = String(quote.json.id);
  const key = person.newKey();
  const asked = { key, action: { kind: 'create', quoteId }, body: { quoteId } } as const;
  const created = await person.requestUntilAnswered('POST', '/v1/trips', asked);
  // The charge of the previous trip may fail in between.
  if (created.code === 'payment.debt_outstanding') return undefined;
  if (created.status !== 201) return recordUnexpected(person, 'a trip', created);
  const tripId = String(created.json.id);
  outOfBand.startCodes.set(tripId, String(created.json.startCode));
  outOfBand.trips.push({ tripId, riderId: person.id });
  if (person.isLikely(0.3)) await repeatCreation(person, key, quoteId, created.text);
  return tripId;
}

/** Pays debts with another card, after which the rider may request trips again. */
async function payDebts(person: SimPerson): Promise<void> {
  const method = await person.requestUntilAnswered('POST', '/v1/payment-methods', {
    key: person.newKey(),
    action: { kind: 'method' },
    body: { kind: 'card', token: 'tok_visa' },
  });
  const owed = await person.requestUntilAnswered('GET', '/v1/payments?status=failed');
  const items = Array.isArray(owed.json.items) ? owed.json.items : [];
  for (const { id } of items) {
    const paid = await person.requestUntilAnswered('POST', `/v1/payments/${id}/pay`, {
      key: person.newKey(),
      action: { kind: 'pay', paymentId: String(id) },
      body: { paymentMethodId: method.json.id },
    });
    const isExpected =
      paid.status === 200 || paid.code === 'payment.in_progress' || paid.code === 'payment.not_owed';
    if (!isExpected) recordUnexpected(person, 'to pay a debt', paid);
  }
}

/** h: a repeated key with the same body gets the same answer; with another body it is rejected. */
async function repeatCreation(person: SimPerson, key: string, quoteId: string, first: string): Promise<void> {
  const again = await person.requestUntilAnswered('POST', '/v1/trips', { key, body: { quoteId } });
  if (again.status !== 201 || again.text !== first)
    person.history.recordViolation(
      `a repeated key was answered ${again.status} ${again.text} after ${first}`,
    );
  const other = await person.requestUntilAnswered('POST', '/v1/trips', {
    key,
    body: { quoteId: person.newKey() },
  });
  if (other.status !== 422 && other.status !== 404)
    person.history.recordViolation(`a key with another body was answered ${other.status} ${other.code}`);
}

function recordUnexpected(
  person: SimPerson,
  wanted: string,
  { status, code }: { status: number; code: string | undefined },
) {
  person.history.recordViolation(`${person.scope.name} wanted ${wanted} and got ${status} ${code}`);
  return undefined;
}

/** m: the trips of other people, their histories and receipts, are not found. */
async function tryToReadOthersTrip(person: SimPerson, outOfBand: OutOfBand): Promise<void> {
  const other = outOfBand.trips.find(({ riderId }) => riderId !== person.id);
  if (other === undefined) return;
  for (const part of ['', '/history', '/receipt']) {
    const { status } = await person.requestUntilAnswered('GET', `/v1/trips/${other.tripId}${part}`);
    if (status !== 404)
      person.history.recordViolation(`${person.scope.name} saw a trip of others: ${part} ${status}`);
  }
}

/** Polls until the trip has ended. j: an older version is never shown after a newer one. */
async function followTrip(person: SimPerson, tripId: string): Promise<string> {
  const cancelsAfter = person.isLikely(0.15)
    ? Math.floor(person.random.next() * 5)
    : Number.POSITIVE_INFINITY;
  let newestVersion = 0;
  for (let polls = 0; ; polls++) {
    await person.pause(800, 3_000);
    if (polls === cancelsAfter) {
      await person.requestUntilAnswered('POST', `/v1/trips/${tripId}/cancel`, {
        action: { kind: 'cancel', tripId },
        body: { reason: 'changed my mind' },
      });
    }
    const { status, json } = await person.requestUntilAnswered('GET', `/v1/trips/${tripId}`);
    if (json.status === 'in_progress' && person.isLikely(0.25)) await tryToEndTrip(person, tripId);
    if (status !== 200) person.history.recordViolation(`trip ${tripId} is gone for its rider: ${status}`);
    const version = Number(json.version);
    if (version < newestVersion)
      person.history.recordViolation(`trip ${tripId} went back from version ${newestVersion} to ${version}`);
    newestVersion = version;
    if (finalStatuses.has(String(json.status))) return String(json.status);
  }
}

/** Allowed only when the driver is silent. */
async function tryToEndTrip(person: SimPerson, tripId: string): Promise<void> {
  const { status, code } = await person.requestUntilAnswered('POST', `/v1/trips/${tripId}/complete`, {
    action: { kind: 'complete', tripId },
  });
  if (status !== 200 && code !== 'trip.driver_not_silent' && code !== 'trip.wrong_state')
    person.history.recordViolation(`a rider who ends a ride was answered ${status} ${code}`);
}

async function payAndRate(person: SimPerson, outOfBand: OutOfBand, tripId: string): Promise<void> {
  if (person.isLikely(0.5)) {
    await person.requestUntilAnswered('POST', `/v1/trips/${tripId}/rating`, {
      action: { kind: 'rating', tripId },
      body: { stars: 5 },
    });
  }
  for (let tries = 0; tries < receiptTriesMax; tries++) {
    const { status, json } = await person.requestUntilAnswered('GET', `/v1/trips/${tripId}/receipt`);
    if (status === 200 && settledStatuses.has(String(json.status))) {
      if (json.status === 'captured') outOfBand.receipts.push({ paymentId: String(json.paymentId) });
      return;
    }
    await person.pause(1_000, 3_000);
  }
}
