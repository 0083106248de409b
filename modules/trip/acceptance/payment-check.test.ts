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

let world: TestTrip;
let instance: TestTripInstance;
beforeAll(async () => {
  world = await createTestTrip();
  instance = world.createInstance({ DISPATCH_MODE: 'sync' });
  await instance.start();
});
afterAll(async () => {
  expect(await findTripViolations(world.sql)).toEqual([]);
  await world.close();
});

const answering = (state: AuthorisationState) => {
  world.payments.respond = async () => state;
};

const declined = (tripId: TripId, trip: TestTripFixture): DomainEvent<'payment.declined.v1'> => {
  const at = new Date(world.clock.nowMs()).toISOString();
  const nothing = { amountMinor: 0, currency: 'VND' } as const;
  return {
    id: world.ids(),
    type: 'payment.declined.v1',
    source: 'payment',
    subject: tripId,
    time: at,
    data: {
      ...{ paymentId: world.ids<PaymentId>(), tripId, riderId: trip.rider.id, driverId: null, at },
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
  test('ends a trip whose driver is being asked, and the driver is free at once', async () => {
    answering('authorised');
    const trip = await createTripInStatus('offered', instance, world.createCity());
    await world.bus.publish([declined(trip.id, trip)]);
    await until(async () => (await statusOf(trip)).status === 'cancelled');
    expect(await statusOf(trip)).toMatchObject(ended);
    const cancelled = world.eventsOf(trip.id).at(-1);
    expect(cancelled).toMatchObject({
      type: 'trip.cancelled.v1',
      data: { offeredDriverId: trip.driver.id, reason: 'payment_declined' },
    });
    const accepted = await trip.asDriver.act(trip.id, 'accept');
    expect([accepted.status, accepted.code]).toEqual([409, 'trip.payment_declined']);
  });

  test('ends a trip that still looks for a driver', async () => {
    const scene = world.createCity();
    const rider = scene.addRider();
    const asRider = instance.clientFor(rider);
    const { id } = (await asRider.create(rider.addQuote())).trip;
    const trip = { id, rider, asRider } as TestTripFixture;
    await world.bus.publish([declined(id, trip), declined(id, trip)]);
    await until(async () => (await statusOf(trip)).status === 'cancelled');
    expect(await statusOf(trip)).toMatchObject(ended);
  });

  for (const status of ['assigned', 'arrived', 'in_progress', 'completed'] as const) {
    test(`changes nothing of a trip that is ${status}`, async () => {
      answering('pending');
      const trip = await createTripInStatus(status, instance, world.createCity());
      const event = declined(trip.id, trip);
      await world.bus.publish([event]);
      await until(async () => (await world.bus.deadLetters('trip.payments')).length === 0);
      // What follows in the queue was handled after it.
      const other = await createTripInStatus('offered', instance, world.createCity());
      await world.bus.publish([declined(other.id, other)]);
      await until(async () => (await statusOf(other)).status === 'cancelled');
      expect((await statusOf(trip)).status).toBe(status);
    });
  }
});

describe('an accept', () => {
  test('of a trip whose card was declined ends the trip, and says so each time', async () => {
    answering('authorised');
    const trip = await createTripInStatus('offered', instance, world.createCity());
    answering('declined');
    for (let time = 0; time < 2; time++) {
      const accepted = await trip.asDriver.act(trip.id, 'accept');
      expect([accepted.status, accepted.code]).toEqual([409, 'trip.payment_declined']);
    }
    expect(await statusOf(trip)).toMatchObject(ended);
  });

  test('races the declined card: the trip is ended or assigned, never both', async () => {
    for (let round = 0; round < 5; round++) {
      answering('authorised');
      const trip = await createTripInStatus('offered', instance, world.createCity());
      answering(round % 2 === 0 ? 'declined' : 'pending');
      const [accepted] = await Promise.all([
        trip.asDriver.act(trip.id, 'accept'),
        world.bus.publish([declined(trip.id, trip)]),
      ]);
      const { status } = await statusOf(trip);
      if (accepted.status === 200) expect(status).toBe('assigned');
      else expect([accepted.code, status]).toEqual(['trip.payment_declined', 'cancelled']);
    }
  });

  test('goes on when the answer does not come within two seconds, and waits no longer', async () => {
    answering('authorised');
    const trip = await createTripInStatus('offered', instance, world.createCity());
    world.payments.respond = () => new Promise(() => undefined);
    const fromMs = world.clock.nowMs();
    let status: number | undefined;
    void trip.asDriver.act(trip.id, 'accept').then((answer) => {
      status = answer.status;
    });
    await until(async () => {
      await world.clock.advance(100);
      return status !== undefined;
    });
    expect(status).toBe(200);
    expect(world.clock.nowMs() - fromMs).toBeLessThanOrEqual(3_000);
    expect((await statusOf(trip)).status).toBe('assigned');
  });

  test.each(['pending', 'authorised'] as const)('goes on when the card is %s', async (state) => {
    answering(state);
    const trip = await createTripInStatus('offered', instance, world.createCity());
    expect((await trip.asDriver.act(trip.id, 'accept')).trip.status).toBe('assigned');
  });

  test('goes on while the payment context is away', async () => {
    world.payments.respond = () => Promise.reject(new Error('connect ECONNREFUSED'));
    const trip = await createTripInStatus('offered', instance, world.createCity());
    expect((await trip.asDriver.act(trip.id, 'accept')).trip.status).toBe('assigned');
  });

  test('that is repeated asks nothing again', async () => {
    answering('authorised');
    const trip = await createTripInStatus('assigned', instance, world.createCity());
    world.payments.respond = () => Promise.reject(new Error('asked again'));
    expect((await trip.asDriver.act(trip.id, 'accept')).trip.status).toBe('assigned');
  });

  test('asks nothing when it is not to wait', async () => {
    const impatient = world.createInstance({ DISPATCH_MODE: 'sync', ACCEPT_PAYMENT_WAIT_MS: '0' });
    answering('declined');
    const trip = await createTripInStatus('offered', impatient, world.createCity());
    expect((await trip.asDriver.act(trip.id, 'accept')).trip.status).toBe('assigned');
  });
});

describe('a rider who owes', () => {
  test('gets no trip, and hears which payment it is; a repeated key gets its first answer', async () => {
    answering('authorised');
    const rider = world.createCity().addRider();
    const asRider = instance.clientFor(rider);
    const quote = rider.addQuote();
    const first = await asRider.create(quote, 'first');
    expect(first.status).toBe(201);
    await asRider.act(first.trip.id, 'cancel', { reason: 'changed my mind' });
    const debt = world.ids<PaymentId>();
    world.quotes.debts.set(rider.id, debt);
    const refused = await asRider.create(rider.addQuote(), 'second');
    expect([refused.status, refused.code]).toEqual([409, 'payment.debt_outstanding']);
    expect(refused.text).toContain(debt);
    expect((await asRider.create(quote, 'first')).text).toBe(first.text);
    world.quotes.debts.delete(rider.id);
    expect((await asRider.create(rider.addQuote(), 'second')).status).toBe(201);
  });
});
