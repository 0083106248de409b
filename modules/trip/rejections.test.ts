import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { Page } from '@contracts/common.ts';
import type { QuoteId, TripId } from '@contracts/ids.ts';
import { Trip } from '@contracts/trips.ts';
import { findTripViolations } from '@invariants/trips.ts';
import {
  createTestTrip,
  createTripInStatus,
  type TestTrip,
  type TestTripInstance,
} from './testing/harness.ts';

let harness: TestTrip;
let instance: TestTripInstance;
beforeAll(async () => {
  harness = await createTestTrip();
  // No workers run: timers do not fire, and no event leaves the outbox.
  instance = harness.createInstance({ DISPATCH_MODE: 'sync' });
});
afterEach(async () => {
  expect(await findTripViolations(harness.sql, { isOutboxComplete: true })).toEqual([]);
});
afterAll(() => harness.close());

const unknownId = '00000000-0000-7000-8000-00000000dead' as TripId;

async function rowsOf(id: TripId): Promise<unknown> {
  const trips = await harness.sql`select * from trips where id = ${id}`;
  const history = await harness.sql`select * from trip_history where trip_id = ${id} order by version`;
  return { trips: [...trips], history: [...history] };
}

describe('POST /v1/trips', () => {
  test('is 400 for an invalid body', async () => {
    const client = instance.clientFor(harness.createCity().addRider());
    const post = (body: unknown) => client.send('POST', '/v1/trips', { body });
    expect((await post('{"quoteId":')).code).toBe('request.malformed');
    for (const body of [{}, { quoteId: 7 }, { quoteId: 'x' }, { quoteId: unknownId, tip: 5 }, [], null]) {
      const answer = await post(body);
      expect([answer.status, answer.code]).toEqual([400, 'request.invalid']);
    }
  });

  test('is 403 for a driver and 401 without a token', async () => {
    const driver = harness.createCity().addDriver();
    const quoteId = harness.createCity().addRider().addQuote();
    expect((await instance.clientFor(driver).create(quoteId)).code).toBe('auth.role_forbidden');
    const withoutToken = await instance
      .clientFor(driver)
      .send('POST', '/v1/trips', { body: { quoteId }, headers: { authorization: '' } });
    expect([withoutToken.status, withoutToken.code]).toEqual([401, 'auth.token_missing']);
  });

  test('is 404 for an unknown quote and for the quote of another rider', async () => {
    const [rider, other] = [harness.createCity().addRider(), harness.createCity().addRider()];
    for (const quoteId of [unknownId as string as QuoteId, other.addQuote()]) {
      const answer = await instance.clientFor(rider).create(quoteId);
      expect([answer.status, answer.code]).toEqual([404, 'quote.not_found']);
    }
  });

  test('is 409 for an expired quote', async () => {
    const rider = harness.createCity().addRider();
    const quoteId = rider.addQuote({ expiresAt: new Date(harness.clock.nowMs()).toISOString() });
    const answer = await instance.clientFor(rider).create(quoteId);
    expect([answer.status, answer.code]).toEqual([409, 'quote.expired']);
  });

  test('is 409 for a used quote, during that trip and after it', async () => {
    const rider = harness.createCity().addRider();
    const client = instance.clientFor(rider);
    const quoteId = rider.addQuote();
    const { id } = (await client.create(quoteId)).trip;
    expect((await client.create(quoteId)).code).toBe('quote.used');
    await client.act(id, 'cancel', { reason: 'later' });
    const answer = await client.create(quoteId);
    expect([answer.status, answer.code]).toEqual([409, 'quote.used']);
  });

  test('is 409 for a rider with an active trip, but not after it has ended', async () => {
    const rider = harness.createCity().addRider();
    const client = instance.clientFor(rider);
    const { id } = (await client.create(rider.addQuote())).trip;
    const answer = await client.create(rider.addQuote());
    expect([answer.status, answer.code]).toEqual([409, 'trip.rider_busy']);
    await client.act(id, 'cancel', { reason: 'later' });
    expect((await client.create(rider.addQuote())).status).toBe(201);
  });

  test('is 503 with Retry-After while the payment service is unavailable, and stores nothing', async () => {
    const rider = harness.createCity().addRider();
    const quoteId = rider.addQuote();
    harness.quotes.isReachable = false;
    const answer = await instance.clientFor(rider).create(quoteId, 'outage');
    harness.quotes.isReachable = true;
    expect([answer.status, answer.code]).toEqual([503, 'service.unavailable']);
    expect(answer.headers.get('retry-after')).toBe('1');
    expect((await instance.clientFor(rider).create(quoteId, 'outage')).status).toBe(201);
  });
});

describe('an idempotency key', () => {
  test('returns the first response again, even if the trip has changed and the quote is gone', async () => {
    const rider = harness.createCity().addRider();
    const client = instance.clientFor(rider);
    const quoteId = rider.addQuote();
    const first = await client.create(quoteId, 'once');
    const again = await client.create(quoteId, 'once');
    harness.quotes.remove(quoteId);
    const later = await client.create(quoteId, 'once');
    for (const answer of [again, later]) {
      expect([answer.status, answer.trip]).toEqual([201, first.trip]);
      expect(answer.headers.get('location')).toBe(`/v1/trips/${first.trip.id}`);
    }
  });

  test('is 422 with another body', async () => {
    const rider = harness.createCity().addRider();
    const client = instance.clientFor(rider);
    await client.create(rider.addQuote(), 'mine');
    for (const quoteId of [rider.addQuote(), unknownId as string as QuoteId]) {
      const answer = await client.create(quoteId, 'mine');
      expect([answer.status, answer.code]).toEqual([422, 'idempotency.key_reused']);
    }
  });

  test('belongs to one person', async () => {
    const [firstRider, secondRider] = [harness.createCity().addRider(), harness.createCity().addRider()];
    const first = await instance.clientFor(firstRider).create(firstRider.addQuote(), 'same');
    const second = await instance.clientFor(secondRider).create(secondRider.addQuote(), 'same');
    expect(second.status).toBe(201);
    expect((await instance.clientFor(secondRider).get(second.trip.id)).trip).toEqual(second.trip);
    expect(second.trip.id).not.toBe(first.trip.id);
  });

  test('used by many requests at once makes one trip, and all get the same response', async () => {
    const rider = harness.createCity().addRider();
    const quoteId = rider.addQuote();
    const client = instance.clientFor(rider);
    const answers = await Promise.all(Array.from({ length: 8 }, () => client.create(quoteId, 'burst')));
    expect(new Set(answers.map(({ status, trip }) => `${status} ${trip.id}`)).size).toBe(1);
    expect(answers[0]?.status).toBe(201);
  });

  test('is 400 if it is not 1 to 200 visible characters', async () => {
    const rider = harness.createCity().addRider();
    const answer = await instance.clientFor(rider).create(rider.addQuote(), 'x'.repeat(201));
    expect([answer.status, answer.code]).toEqual([400, 'idempotency.key_invalid']);
  });

  test('stored with an older, larger view returns only the fields of today', async () => {
    const rider = harness.createCity().addRider();
    const client = instance.clientFor(rider);
    const quoteId = rider.addQuote();
    const first = (await client.create(quoteId, 'old')).trip;
    const { driver: _, ...kept } = first;
    const old = { ...kept, riderId: rider.id, driverId: null, offer: null };
    await harness.sql`
      update idempotency set response = ${JSON.stringify(old)}::text::json where person_id = ${rider.id}`;
    const again = await client.create(quoteId, 'old');
    expect([again.status, JSON.parse(again.text)]).toEqual([201, first]);
  });
});

describe('another person', () => {
  test('gets 404 for every action on a trip, and changes nothing', async () => {
    const { id, startCode } = await createTripInStatus('arrived', instance, harness.createCity());
    const before = await rowsOf(id);
    const [rider, driver] = [
      instance.clientFor(harness.createCity().addRider()),
      instance.clientFor(harness.createCity().addDriver()),
    ];
    const reason = 'because';
    const answers = await Promise.all([
      rider.get(id),
      driver.get(id),
      rider.send('GET', `/v1/trips/${id}/history`),
      driver.send('GET', `/v1/trips/${id}/history`),
      driver.act(id, 'accept'),
      driver.act(id, 'decline', {}),
      driver.act(id, 'arrive'),
      driver.act(id, 'start', { code: startCode }),
      driver.act(id, 'complete'),
      rider.act(id, 'cancel', { reason }),
      driver.act(id, 'cancel', { reason }),
      rider.act(id, 'rating', { stars: 1 }),
      driver.act(id, 'rating', { stars: 1 }),
    ]);
    for (const answer of answers) expect([answer.status, answer.code]).toEqual([404, 'trip.not_found']);
    expect(await rowsOf(id)).toEqual(before);
  });

  test('has no trips of others in their list', async () => {
    await createTripInStatus('completed', instance, harness.createCity());
    const { id, rider } = await createTripInStatus('completed', instance, harness.createCity());
    const list = await instance.clientFor(rider).send('GET', '/v1/trips');
    expect(list.parseAs(Page(Trip)).items.map((trip) => trip.id)).toEqual([id]);
    const otherDriver = await instance.clientFor(harness.createCity().addDriver()).send('GET', '/v1/trips');
    expect(JSON.parse(otherDriver.text)).toEqual({ items: [], nextCursor: null });
  });

  test('who has an offer sees the trip until the offer ends', async () => {
    const { id, asDriver } = await createTripInStatus('offered', instance, harness.createCity());
    expect((await asDriver.get(id)).status).toBe(200);
    expect((await asDriver.act(id, 'decline', { reason: 'too far' })).status).toBe(204);
    expect((await asDriver.get(id)).code).toBe('trip.not_found');
  });

  test('gets 404 for an unknown trip and 400 for an invalid id', async () => {
    const client = instance.clientFor(harness.createCity().addRider());
    expect((await client.get(unknownId)).code).toBe('trip.not_found');
    expect((await client.get('7' as TripId)).code).toBe('request.invalid');
    expect((await client.act(unknownId, 'cancel', { reason: 'x' })).code).toBe('trip.not_found');
  });
});

describe('an action in the wrong state', () => {
  test('is 409 and changes nothing', async () => {
    const { id, asRider, asDriver, startCode } = await createTripInStatus(
      'assigned',
      instance,
      harness.createCity(),
    );
    const before = await rowsOf(id);
    const answers = await Promise.all([
      asDriver.act(id, 'start', { code: startCode }),
      asDriver.act(id, 'complete'),
      asDriver.act(id, 'decline', {}),
      asRider.act(id, 'rating', { stars: 5 }),
    ]);
    for (const answer of answers) expect([answer.status, answer.code]).toEqual([409, 'trip.wrong_state']);
    expect(await rowsOf(id)).toEqual(before);
  });

  test('is 409 for a cancellation during the ride or after the end, and 200 for a repeated cancellation', async () => {
    const riding = await createTripInStatus('in_progress', instance, harness.createCity());
    for (const client of [riding.asRider, riding.asDriver]) {
      expect((await client.act(riding.id, 'cancel', { reason: 'x' })).code).toBe('trip.wrong_state');
    }
    const waiting = await createTripInStatus('arrived', instance, harness.createCity());
    const cancelled = await waiting.asDriver.act(waiting.id, 'cancel', { reason: 'flat tyre' });
    expect(cancelled.trip).toMatchObject({ status: 'cancelled', endedBy: 'driver', reason: 'flat tyre' });
    expect((await waiting.asRider.act(waiting.id, 'cancel', { reason: 'x' })).code).toBe('trip.wrong_state');
    const again = await waiting.asDriver.act(waiting.id, 'cancel', { reason: 'flat tyre' });
    expect([again.status, again.trip]).toEqual([200, cancelled.trip]);
  });

  test('can be repeated after a lost response: same response, no second history row', async () => {
    const { id, asDriver, startCode } = await createTripInStatus('offered', instance, harness.createCity());
    const steps = [['accept'], ['arrive'], ['start', { code: startCode }], ['complete']] as const;
    for (const [step, body] of steps) {
      const first = await asDriver.act(id, step, body);
      const before = await rowsOf(id);
      const again = await asDriver.act(id, step, body);
      expect([again.status, again.trip]).toEqual([200, first.trip]);
      expect(await rowsOf(id)).toEqual(before);
    }
  });

  test('is 409 for a driver who accepts after another driver got the trip', async () => {
    const city = harness.createCity();
    const { id, asDriver: early } = await createTripInStatus('offered', instance, city);
    const second = city.addDriver(900);
    await early.act(id, 'decline', {});
    expect((await instance.clientFor(second).act(id, 'accept')).status).toBe(200);
    const late = await early.act(id, 'accept');
    expect([late.status, late.code]).toEqual([409, 'trip.wrong_state']);
  });

  test('is 400 for an invalid body', async () => {
    const { id, asRider, asDriver } = await createTripInStatus('arrived', instance, harness.createCity());
    const answers = await Promise.all([
      asDriver.act(id, 'start', {}),
      asDriver.act(id, 'start', { code: '12' }),
      asDriver.act(id, 'start', { code: 1234 }),
      asRider.act(id, 'cancel', {}),
      asRider.act(id, 'cancel', { reason: '' }),
      asRider.act(id, 'cancel', { reason: 'x', fee: 0 }),
      asRider.act(id, 'cancel'),
      asDriver.act(id, 'decline', { reason: 7 }),
      asRider.act(id, 'rating', { stars: 6 }),
      asRider.act(id, 'rating', { stars: 4.5 }),
    ]);
    for (const answer of answers) expect([answer.status, answer.code]).toEqual([400, 'request.invalid']);
  });
});

describe('the start code', () => {
  test('is 409 if it is wrong, and the right one still works', async () => {
    const { id, asDriver, startCode } = await createTripInStatus('arrived', instance, harness.createCity());
    const wrong = await asDriver.act(id, 'start', { code: another(startCode) });
    expect([wrong.status, wrong.code]).toEqual([409, 'trip.start_code_wrong']);
    expect((await asDriver.act(id, 'start', { code: startCode })).status).toBe(200);
  });

  test('is 429 for a minute after five wrong ones, even if it is right', async () => {
    const { id, asDriver, startCode } = await createTripInStatus('arrived', instance, harness.createCity());
    for (let guess = 0; guess < 5; guess++) {
      expect((await asDriver.act(id, 'start', { code: another(startCode) })).code).toBe(
        'trip.start_code_wrong',
      );
    }
    const blocked = await asDriver.act(id, 'start', { code: startCode });
    expect([blocked.status, blocked.code]).toEqual([429, 'trip.start_code_blocked']);
    expect(blocked.headers.get('retry-after')).toBe('60');
    await harness.clock.advance(60_000);
    expect((await asDriver.act(id, 'start', { code: startCode })).status).toBe(200);
  });

  test('gets no more attempts in a burst than one after the other', async () => {
    const { id, asDriver, startCode } = await createTripInStatus('arrived', instance, harness.createCity());
    const guesses = Array.from({ length: 40 }, () => asDriver.act(id, 'start', { code: another(startCode) }));
    const codes = (await Promise.all(guesses)).map(({ code }) => code);
    expect(codes.filter((code) => code === 'trip.start_code_wrong').length).toBeLessThanOrEqual(5);
    expect((await asDriver.act(id, 'start', { code: startCode })).status).toBe(429);
  });

  const another = (code: string) => (code === '0000' ? '0001' : '0000');
});

describe('a rating', () => {
  test('can be repeated, but is 409 with other stars', async () => {
    const { id, asRider, asDriver } = await createTripInStatus('completed', instance, harness.createCity());
    expect((await asRider.act(id, 'rating', { stars: 5 })).status).toBe(201);
    expect((await asRider.act(id, 'rating', { stars: 5 })).status).toBe(201);
    const changed = await asRider.act(id, 'rating', { stars: 1 });
    expect([changed.status, changed.code]).toEqual([409, 'trip.rated']);
    expect((await asDriver.act(id, 'rating', { stars: 3 })).trip.ratings).toEqual({
      byRider: 5,
      byDriver: 3,
    });
  });
});
