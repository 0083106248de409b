import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { headers, Page } from '@contracts/common.ts';
import { offsetPoint } from '@contracts/geo.ts';
import { PaymentMethod, Quote, QuoteForTrip } from '@contracts/payments.ts';
import type { Cache } from '@platform/cache/cache.ts';
import { createRedisCache } from '@platform/cache/redis.ts';
import { systemClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { connectRedis } from '@platform/redis/connection.ts';
import { serviceAuthHeaders } from '@testing/service-auth.ts';
import { until } from '@testing/until.ts';
import { createRiderWithCard } from '../testing/harness.ts';
import type { PaymentInstance } from '../testing/instance.ts';
import { useTestPayment } from '../testing/setup.ts';

const payment = useTestPayment({ per: 'file' });
let service: PaymentInstance;
beforeAll(() => {
  service = payment.createInstance();
});

const pickup = { lat: 10.7769, lng: 106.7009 };
const dropoff = { lat: 10.8231, lng: 106.6297 };
const ride = { pickup, dropoff, product: 'car' };
const internal = () => serviceAuthHeaders('payment', payment.clock);

const requestQuote = (
  bearer: Record<string, string>,
  body: unknown = ride,
  more: Record<string, string> = {},
) => service.send('POST', '/v1/quotes', { body, headers: { ...bearer, ...more } });

const countQuotes = async () => {
  const [row] = await payment.sql<{ count: number }[]>`select count(*)::int as count from quotes`;
  return row?.count ?? 0;
};

describe('a quote', () => {
  test('has a binding fare in VND for five minutes, and its lines sum to the fare', async () => {
    const { riderId, bearer, paymentMethodId } = await createRiderWithCard(payment, service);
    const answer = await requestQuote(bearer);
    expect(answer.status).toBe(201);
    const quote = answer.as(Quote);
    expect(quote).toMatchObject({ ...ride, riderId, paymentMethodId, fare: { currency: 'VND' } });
    expect(quote.lines.reduce((sum, { amountMinor }) => sum + amountMinor, 0)).toBe(quote.fare.amountMinor);
    expect(quote.fare.amountMinor % 1_000).toBe(0);
    expect(Date.parse(quote.expiresAt) - Date.parse(quote.createdAt)).toBe(300_000);
  });

  test('is in US dollars when the request asks for them', async () => {
    const { bearer } = await createRiderWithCard(payment, service);
    const quote = (await requestQuote(bearer, { ...ride, currency: 'USD' })).as(Quote);
    expect(quote.fare.currency).toBe('USD');
    expect(quote.fare.amountMinor).toBeGreaterThanOrEqual(300);
  });

  test('uses the newest payment method of the rider, or the one in the request', async () => {
    const { bearer, paymentMethodId: older } = await createRiderWithCard(payment, service);
    const added = await service.send('POST', '/v1/payment-methods', {
      body: { kind: 'card', token: 'tok_mastercard' },
      headers: bearer,
    });
    const newer = added.as(PaymentMethod).id;
    expect((await requestQuote(bearer)).as(Quote).paymentMethodId).toBe(newer);
    expect((await requestQuote(bearer, { ...ride, paymentMethodId: older })).as(Quote).paymentMethodId).toBe(
      older,
    );
  });

  test('requires a payment method', async () => {
    const answer = await requestQuote(payment.tokens.bearer(payment.ids(), 'rider'));
    expect([answer.status, answer.code]).toEqual([409, 'payment_method.required']);
  });

  test('rejects an unknown payment method and one of another rider', async () => {
    const { bearer } = await createRiderWithCard(payment, service);
    const otherRider = await createRiderWithCard(payment, service);
    for (const paymentMethodId of [payment.ids(), otherRider.paymentMethodId]) {
      const answer = await requestQuote(bearer, { ...ride, paymentMethodId });
      expect([answer.status, answer.code]).toEqual([404, 'payment_method.not_found']);
    }
  });

  test('is rejected for a drop-off at the pickup or too far away', async () => {
    const { bearer } = await createRiderWithCard(payment, service);
    for (const there of [pickup, offsetPoint(pickup, 160_000, 0), { lat: -33.9, lng: 151.2 }]) {
      const answer = await requestQuote(bearer, { ...ride, dropoff: there });
      expect([answer.status, answer.code]).toEqual([400, 'quote.distance_invalid']);
    }
  });

  test('is repeated for the same idempotency key, even after the payment method changed', async () => {
    const { bearer } = await createRiderWithCard(payment, service);
    const key = { [headers.idempotencyKey]: 'once' };
    const first = await requestQuote(bearer, ride, key);
    await service.send('POST', '/v1/payment-methods', {
      body: { kind: 'card', token: 'tok_mastercard' },
      headers: bearer,
    });
    await payment.clock.advance(10_000);
    const again = await requestQuote(bearer, ride, key);
    expect([again.status, again.text]).toEqual([201, first.text]);
  });

  test('is created once by concurrent requests with the same key', async () => {
    const { bearer } = await createRiderWithCard(payment, service);
    const before = await countQuotes();
    const key = { [headers.idempotencyKey]: 'at-once' };
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => requestQuote(bearer, ride, key)));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201]);
    expect((await countQuotes()) - before).toBe(1);
  });

  test('is rejected when the key was used for another request', async () => {
    const { bearer } = await createRiderWithCard(payment, service);
    const key = { [headers.idempotencyKey]: 'reused' };
    await requestQuote(bearer, ride, key);
    const other = await requestQuote(bearer, { ...ride, product: 'bike' }, key);
    expect([other.status, other.code]).toEqual([422, 'idempotency.key_reused']);
    const otherRider = await createRiderWithCard(payment, service);
    expect((await requestQuote(otherRider.bearer, ride, key)).status).toBe(201);
  });

  test('cannot be changed once it is created', async () => {
    const { bearer } = await createRiderWithCard(payment, service);
    const { id } = (await requestQuote(bearer)).as(Quote);
    await expect(
      (async () => payment.sql`update quotes set fare_minor = 1 where id = ${id}`)(),
    ).rejects.toThrow('never change');
  });
});

describe('an invalid quote request changes nothing and is rejected with', () => {
  const invalidRequests: [string, unknown][] = [
    ['an unknown product', { ...ride, product: 'helicopter' }],
    ['an unknown currency', { ...ride, currency: 'EUR' }],
    ['a latitude out of range', { ...ride, pickup: { lat: 91, lng: 0 } }],
    ['a longitude out of range', { ...ride, dropoff: { lat: 0, lng: -180.5 } }],
    ['a missing drop-off', { pickup, product: 'car' }],
    ['an unknown field', { ...ride, discount: 100 }],
    ['a malformed payment method id', { ...ride, paymentMethodId: '1' }],
    ['an array as the body', [ride]],
  ];
  for (const [description, body] of invalidRequests) {
    test(`400 request.invalid: ${description}`, async () => {
      const { bearer } = await createRiderWithCard(payment, service);
      const before = await countQuotes();
      const answer = await requestQuote(bearer, body);
      expect([answer.status, answer.code]).toEqual([400, 'request.invalid']);
      expect(await countQuotes()).toBe(before);
    });
  }

  test('400 request.malformed: a body that is not JSON', async () => {
    const { bearer } = await createRiderWithCard(payment, service);
    const answer = await requestQuote(bearer, '{"pickup":');
    expect([answer.status, answer.code]).toEqual([400, 'request.malformed']);
  });

  test('400 idempotency.key_invalid: a key of 201 characters', async () => {
    const { bearer } = await createRiderWithCard(payment, service);
    const answer = await requestQuote(bearer, ride, { [headers.idempotencyKey]: 'k'.repeat(201) });
    expect([answer.status, answer.code]).toEqual([400, 'idempotency.key_invalid']);
  });

  test('401 without a token, and 403 for a driver', async () => {
    expect((await requestQuote({})).code).toBe('auth.token_missing');
    const driver = await requestQuote(payment.tokens.bearer(payment.ids(), 'driver'));
    expect([driver.status, driver.code]).toEqual([403, 'auth.role_forbidden']);
  });
});

describe('the internal quote route', () => {
  const find = (id: string, riderId: string, more: Record<string, string> = internal()) =>
    service.send('GET', `/internal/payment/quotes/${id}?riderId=${riderId}`, { headers: more });

  test('finds a quote of the rider, even if it has expired', async () => {
    const { riderId, bearer } = await createRiderWithCard(payment, service);
    const quote = (await requestQuote(bearer)).as(Quote);
    expect((await find(quote.id, riderId)).as(QuoteForTrip)).toEqual({ quote, debtPaymentId: null });
    await payment.clock.advance(3_600_000);
    expect((await find(quote.id, riderId)).as(QuoteForTrip)).toEqual({ quote, debtPaymentId: null });
  });

  test('answers 404 for an unknown quote and for one of another rider', async () => {
    const { riderId, bearer } = await createRiderWithCard(payment, service);
    const quote = (await requestQuote(bearer)).as(Quote);
    for (const answer of [await find(payment.ids(), riderId), await find(quote.id, payment.ids())]) {
      expect([answer.status, answer.code]).toEqual([404, 'quote.not_found']);
    }
  });

  test('rejects callers without a valid service token', async () => {
    const answer = await find(payment.ids(), payment.ids(), { [headers.serviceToken]: 'x'.repeat(32) });
    expect([answer.status, answer.code]).toEqual([403, 'auth.service_forbidden']);
  });

  test('reads a fresh quote from the cache instead of the database', async () => {
    const { riderId, bearer } = await createRiderWithCard(payment, service);
    const quote = (await requestQuote(bearer)).as(Quote);
    await payment.sql`delete from quotes where id = ${quote.id}`;
    expect((await find(quote.id, riderId)).as(QuoteForTrip)).toEqual({ quote, debtPaymentId: null });
  });
});

describe('without the cache', () => {
  const unavailableRedis = connectRedis('redis://127.0.0.1:1', 'cache', createLog('silent'));
  afterAll(() => unavailableRedis.disconnect());
  const caches: [string, () => Cache][] = [
    [
      'that is unavailable',
      () =>
        createRedisCache({
          redis: unavailableRedis,
          clock: systemClock,
          log: createLog('silent'),
          metrics: createMetrics(),
        }),
    ],
  ];
  for (const [description, open] of caches) {
    test(`${description}, quotes are created and found as usual`, async () => {
      const uncached = payment.createInstance({ cache: open() });
      const { riderId, bearer } = await createRiderWithCard(payment, uncached);
      const made = await uncached.send('POST', '/v1/quotes', { body: ride, headers: bearer });
      expect(made.status).toBe(201);
      const { id } = made.as(Quote);
      const found = await uncached.send('GET', `/internal/payment/quotes/${id}?riderId=${riderId}`, {
        headers: internal(),
      });
      expect(found.as(QuoteForTrip).quote).toEqual(made.as(Quote));
    });
  }
});

describe('payment methods', () => {
  const add = (bearer: Record<string, string>, token: string, more: Record<string, string> = {}) =>
    service.send('POST', '/v1/payment-methods', {
      body: { kind: 'card', token },
      headers: { ...bearer, ...more },
    });
  const list = (bearer: Record<string, string>, query = '') =>
    service.send('GET', `/v1/payment-methods${query}`, { headers: bearer });

  test('show a label and never the token', async () => {
    const { bearer } = await createRiderWithCard(payment, service);
    const answer = await list(bearer);
    expect(answer.as(Page(PaymentMethod)).items[0]?.label).toBe('Visa •••• 4242');
    expect(answer.text).not.toContain('tok_');
  });

  test('are listed newest first, page by page, and only to their rider', async () => {
    const { bearer } = await createRiderWithCard(payment, service);
    await createRiderWithCard(payment, service);
    for (const token of ['tok_mastercard', 'tok_slow', 'tok_double']) {
      await payment.clock.advance(1);
      expect((await add(bearer, token)).status).toBe(201);
    }
    const first = (await list(bearer, '?limit=3')).as(Page(PaymentMethod));
    const rest = (await list(bearer, `?limit=3&cursor=${first.nextCursor}`)).as(Page(PaymentMethod));
    expect([...first.items, ...rest.items].map(({ label }) => label.slice(-4))).toEqual([
      '0044',
      '0036',
      '4444',
      '4242',
    ]);
    expect(rest.nextCursor).toBeNull();
  });

  test('with an unknown token are rejected', async () => {
    const bearer = payment.tokens.bearer(payment.ids(), 'rider');
    for (const token of ['tok_unheard', 'tok_constructor']) {
      const answer = await add(bearer, token);
      expect([answer.status, answer.code]).toEqual([400, 'payment_method.token_unknown']);
    }
    expect((await add(bearer, '4242424242424242')).code).toBe('request.invalid');
  });

  test('added twice with the same key are created once', async () => {
    const bearer = payment.tokens.bearer(payment.ids(), 'rider');
    const key = { [headers.idempotencyKey]: 'card' };
    const [first, again] = [await add(bearer, 'tok_visa', key), await add(bearer, 'tok_visa', key)];
    expect([again.status, again.text]).toEqual([201, first.text]);
    expect((await add(bearer, 'tok_mastercard', key)).code).toBe('idempotency.key_reused');
    expect((await list(bearer)).as(Page(PaymentMethod)).items.length).toBe(1);
  });

  test('are limited in number', async () => {
    const few = payment.createInstance({ settings: { PAYMENT_METHODS_MAX: '1' } });
    const { bearer } = await createRiderWithCard(payment, few);
    const answer = await few.send('POST', '/v1/payment-methods', {
      body: { kind: 'card', token: 'tok_visa' },
      headers: bearer,
    });
    expect([answer.status, answer.code]).toEqual([409, 'payment_method.too_many']);
  });

  test('are not listed for an invalid cursor or limit', async () => {
    const { bearer } = await createRiderWithCard(payment, service);
    expect((await list(bearer, '?cursor=nonsense')).code).toBe('request.cursor_invalid');
    expect((await list(bearer, '?limit=1000')).code).toBe('request.invalid');
  });
});

test('while PostgreSQL is unavailable, every route answers 503 with Retry-After and readiness fails', async () => {
  const withoutDatabase = payment.createInstance({ databaseUrl: 'postgres://nobody:x@127.0.0.1:1/nothing' });
  const rider = payment.tokens.bearer(payment.ids(), 'rider');
  const id = payment.ids();
  const requests: [string, string, Record<string, string>, unknown?][] = [
    ['POST', '/v1/quotes', rider, ride],
    ['GET', '/v1/payment-methods', rider],
    ['GET', `/v1/payments/${id}`, rider],
    ['GET', `/v1/trips/${id}/receipt`, rider],
    ['POST', `/v1/payments/${id}/refunds`, payment.tokens.bearer(id, 'ops'), { reason: 'late' }],
    ['GET', '/v1/drivers/me/earnings', payment.tokens.bearer(id, 'driver')],
    ['GET', `/internal/payment/quotes/${id}?riderId=${id}`, internal()],
  ];
  for (const [method, path, more, body] of requests) {
    const answer = await withoutDatabase.send(method, path, {
      headers: more,
      ...(body === undefined ? {} : { body }),
    });
    expect([path, answer.status, answer.code]).toEqual([path, 503, 'service.unavailable']);
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(answer.text).not.toContain('127.0.0.1');
  }
  expect((await withoutDatabase.send('GET', '/readyz')).status).toBe(503);
});

test('quotes that expired long ago are deleted, and the others are kept', async () => {
  const { bearer } = await createRiderWithCard(payment, service);
  const old = (await requestQuote(bearer)).as(Quote);
  await payment.clock.advance(8 * 24 * 3_600_000);
  const fresh = (await requestQuote(payment.tokens.bearer(old.riderId, 'rider'))).as(Quote);
  await payment.startInstance();
  await until(async () => (await payment.sql`select from quotes where id = ${old.id}`).length === 0);
  expect(await payment.sql`select from quotes where id = ${fresh.id}`).toHaveLength(1);
});
