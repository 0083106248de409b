import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { DomainEvent } from '@contracts/events.ts';
import type { PaymentId, TripId } from '@contracts/ids.ts';
import type { AuthorisationState } from '@contracts/payments.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { until } from '@testing/until.ts';
import {
  createTestTrip,
  createTripInStatus,
  type TestTrip,
  type TestTripFixture,
  type TestTripInstance,
} from '../testing/harness.ts';

let harness: TestTrip;
let instance: TestTripInstance;
beforeAll(async () => {
  harness = await createTestTrip();
  instance = harness.createInstance({ DISPATCH_MODE: 'sync' });
  await instance.start();
});
afterAll(async () => {
  expect(await findTripViolations(harness.sql)).toEqual([]);
  await harness.close();
});

const answering = (state: AuthorisationState) => {
  harness.payments.respond = async () => state;
};

const declined = (tripId: TripId, trip: TestTripFixture): DomainEvent<'payment.declined.v1'> => {
  const at = new Date(harness.clock.nowMs()).toISOString();
  const nothing = { amountMinor: 0, currency: 'VND' } as const;
  return {
    id: harness.ids(),
    type: 'payment.declined.v1',
    source: 'payment',
    subject: tripId,
    time: at,
    data: {
      ...{ paymentId: harness.ids<PaymentId>(), tripId, riderId: trip.rider.id, driverId: null, at },
      ...{ status: 'declined', amount: nothing, refunded: nothing, failureReason: 'card_declined' },
    },
  };
};

const statusOf = async ({ id, asRider }: TestTripFixture) => {
  const { status, endedBy, reason } = (await asRider.get(id)).trip;
  return { status, endedBy, reason };
};
const ended = { status: 'cancelled', endedBy: 'system', reason: 'payment_declined' } as const;

describe('a declined card', () => {
  test('ends a trip with an open offer, and frees the driver at once', async () => {
    answering('authorised');
    const trip = await createTripInStatus('offered', instance, harness.createCity());
    await harness.bus.publish([declined(trip.id, trip)]);
    await until(async () => (await statusOf(trip)).status === 'cancelled');
    expect(await statusOf(trip)).toMatchObject(ended);
    const cancelled = harness.eventsOf(trip.id).at(-1);
    expect(cancelled).toMatchObject({
      type: 'trip.cancelled.v1',
      data: { offeredDriverId: trip.driver.id, reason: 'payment_declined' },
    });
    const accepted = await trip.asDriver.act(trip.id, 'accept');
    expect([accepted.status, accepted.code]).toEqual([409, 'trip.payment_declined']);
  });

  test('ends a trip that has no driver yet', async () => {
    const city = harness.createCity();
    const rider = city.addRider();
    const asRider = instance.clientFor(rider);
    const { id } = (await asRider.create(rider.addQuote())).trip;
    const trip = { id, rider, asRider } as TestTripFixture;
    await harness.bus.publish([declined(id, trip), declined(id, trip)]);
    await until(async () => (await statusOf(trip)).status === 'cancelled');
    expect(await statusOf(trip)).toMatchObject(ended);
  });

  for (const status of ['assigned', 'arrived', 'in_progress', 'completed'] as const) {
    test(`does not change a trip that is ${status}`, async () => {
      answering('pending');
      const trip = await createTripInStatus(status, instance, harness.createCity());
      const event = declined(trip.id, trip);
      await harness.bus.publish([event]);
      await until(async () => (await harness.bus.deadLetters('trip.payments')).length === 0);
      // The queue is in order: when this later event is handled, the earlier one was too.
      const other = await createTripInStatus('offered', instance, harness.createCity());
      await harness.bus.publish([declined(other.id, other)]);
      await until(async () => (await statusOf(other)).status === 'cancelled');
      expect((await statusOf(trip)).status).toBe(status);
    });
  }
});

describe('an accept', () => {
  test('ends the trip if the card was declined, with the same problem for each retry', async () => {
    answering('authorised');
    const trip = await createTripInStatus('offered', instance, harness.createCity());
    answering('declined');
    for (let time = 0; time < 2; time++) {
      const accepted = await trip.asDriver.act(trip.id, 'accept');
      expect([accepted.status, accepted.code]).toEqual([409, 'trip.payment_declined']);
    }
    expect(await statusOf(trip)).toMatchObject(ended);
  });

  test('that races a declined card leaves the trip either ended or assigned', async () => {
    for (let round = 0; round < 5; round++) {
      answering('authorised');
      const trip = await createTripInStatus('offered', instance, harness.createCity());
      answering(round % 2 === 0 ? 'declined' : 'pending');
      const [accepted] = await Promise.all([
        trip.asDriver.act(trip.id, 'accept'),
        harness.bus.publish([declined(trip.id, trip)]),
      ]);
      const { status } = await statusOf(trip);
      if (accepted.status === 200) expect(status).toBe('assigned');
      else expect([accepted.code, status]).toEqual(['trip.payment_declined', 'cancelled']);
    }
  });

  test('succeeds without an authorisation state after waiting two seconds', async () => {
    answering('authorised');
    const trip = await createTripInStatus('offered', instance, harness.createCity());
    harness.payments.respond = () => new Promise(() => undefined);
    const fromMs = harness.clock.nowMs();
    let status: number | undefined;
    void trip.asDriver.act(trip.id, 'accept').then((answer) => {
      status = answer.status;
    });
    await until(async () => {
      await harness.clock.advance(100);
      return status !== undefined;
    });
    expect(status).toBe(200);
    expect(harness.clock.nowMs() - fromMs).toBeLessThanOrEqual(3_000);
    expect((await statusOf(trip)).status).toBe('assigned');
  });

  test.each(['pending', 'authorised'] as const)('succeeds when the card is %s', async (state) => {
    answering(state);
    const trip = await createTripInStatus('offered', instance, harness.createCity());
    expect((await trip.asDriver.act(trip.id, 'accept')).trip.status).toBe('assigned');
  });

  test('succeeds while the payment service is unavailable', async () => {
    harness.payments.respond = () => Promise.reject(new Error('connect ECONNREFUSED'));
    const trip = await createTripInStatus('offered', instance, harness.createCity());
    expect((await trip.asDriver.act(trip.id, 'accept')).trip.status).toBe('assigned');
  });

  test('that is repeated does not read the authorisation again', async () => {
    answering('authorised');
    const trip = await createTripInStatus('assigned', instance, harness.createCity());
    harness.payments.respond = () => Promise.reject(new Error('the authorisation was read again'));
    expect((await trip.asDriver.act(trip.id, 'accept')).trip.status).toBe('assigned');
  });

  test('does not read the authorisation if the wait is 0', async () => {
    const impatient = harness.createInstance({ DISPATCH_MODE: 'sync', ACCEPT_PAYMENT_WAIT_MS: '0' });
    answering('declined');
    const trip = await createTripInStatus('offered', impatient, harness.createCity());
    expect((await trip.asDriver.act(trip.id, 'accept')).trip.status).toBe('assigned');
  });
});

describe('a rider with a debt', () => {
  test('gets 409 with the id of the unpaid payment, and a repeated key gets its first response', async () => {
    answering('authorised');
    const rider = harness.createCity().addRider();
    const asRider = instance.clientFor(rider);
    const quote = rider.addQuote();
    const first = await asRider.create(quote, 'first');
    expect(first.status).toBe(201);
    await asRider.act(first.trip.id, 'cancel', { reason: 'changed my mind' });
    const debt = harness.ids<PaymentId>();
    harness.quotes.debts.set(rider.id, debt);
    const refused = await asRider.create(rider.addQuote(), 'second');
    expect([refused.status, refused.code]).toEqual([409, 'payment.debt_outstanding']);
    expect(refused.text).toContain(debt);
    expect((await asRider.create(quote, 'first')).text).toBe(first.text);
    harness.quotes.debts.delete(rider.id);
    expect((await asRider.create(rider.addQuote(), 'second')).status).toBe(201);
  });
});
