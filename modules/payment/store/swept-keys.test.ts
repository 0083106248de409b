import { beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { PaymentMethod, Quote, QuoteForTrip } from '@contracts/payments.ts';
import { createMemoryCache } from '@platform/cache/memory.ts';
import { serviceAuthHeaders } from '@testing/service-auth.ts';
import { until } from '@testing/until.ts';
import { createRiderWithCard, createTripCompletedEvent } from '../testing/harness.ts';
import type { PaymentInstance } from '../testing/instance.ts';
import { useTestPayment } from '../testing/setup.ts';

/*
 * A statement that claims an idempotency key may find it used, and the key may be swept before its response
 * is read. Here a trigger rejects a given number of claims in a row without leaving a row.
 */
const payment = useTestPayment({ per: 'file' });
let service: PaymentInstance;
const cached: string[] = [];
beforeAll(async () => {
  const cache = createMemoryCache({ clock: payment.clock, entriesMax: 100 });
  service = await payment.startInstance({
    cache: {
      ...cache,
      async set(key, value, ttlMs) {
        cached.push(key);
        await cache.set(key, value, ttlMs);
      },
    },
  });
  await payment.sql.unsafe(`
    create sequence claims;
    create table refused_claims (up_to bigint);
    insert into refused_claims values (0);
    create function refuse_claim() returns trigger language plpgsql as $$
    begin
      if nextval('claims') <= (select up_to from refused_claims) then return null; end if;
      return new;
    end $$;
    create trigger refuse_claims before insert on idempotency for each row execute function refuse_claim()`);
});
beforeEach(() => cached.splice(0));

const refuseClaims = (times: number) => payment.sql`
  update refused_claims set up_to = (select last_value from claims) + ${times}`;

const ride = {
  pickup: { lat: 10.77, lng: 106.7 },
  dropoff: { lat: 10.8, lng: 106.65 },
  product: 'car',
};

describe('an idempotency key that was used but has no response any more', () => {
  test('creates a quote that is stored and that the internal route finds', async () => {
    const { riderId, bearer } = await createRiderWithCard(payment, service);
    await refuseClaims(1);
    const answer = await service.send('POST', '/v1/quotes', { body: ride, headers: bearer });
    const quote = answer.as(Quote);
    expect(await payment.sql`select from quotes where id = ${quote.id}`).toHaveLength(1);
    expect(cached).toEqual([`quotes:${quote.id}`]);
    const path = `/internal/payment/quotes/${quote.id}?riderId=${riderId}`;
    const found = await service.send('GET', path, { headers: serviceAuthHeaders('payment', payment.clock) });
    expect(found.as(QuoteForTrip).quote).toEqual(quote);
  });

  test('in attempt after attempt answers 503, and no quote is returned or cached that was not stored', async () => {
    const { riderId, bearer } = await createRiderWithCard(payment, service);
    await refuseClaims(100);
    const answer = await service.send('POST', '/v1/quotes', { body: ride, headers: bearer });
    await refuseClaims(0);
    expect([answer.status, answer.code]).toEqual([503, 'service.unavailable']);
    expect(cached).toEqual([]);
    expect(await payment.sql`select from quotes where rider_id = ${riderId}`).toHaveLength(0);
  });

  test('adds the card once', async () => {
    const bearer = payment.tokens.bearer(payment.ids(), 'rider');
    await refuseClaims(1);
    const added = await service.send('POST', '/v1/payment-methods', {
      body: { kind: 'card', token: 'tok_visa' },
      headers: bearer,
    });
    const { id } = added.as(PaymentMethod);
    expect(await payment.sql`select from payment_methods where id = ${id}`).toHaveLength(1);
  });

  test('accepts the refund once', async () => {
    const { riderId, paymentMethodId } = await createRiderWithCard(payment, service);
    const { data } = createTripCompletedEvent(payment, { riderId, paymentMethodId });
    await payment.bus.publish([createTripCompletedEvent(payment, data)]);
    const { id } = await until(async () => {
      const [row] = await payment.sql<{ id: string }[]>`
        select id from payments where trip_id = ${data.tripId} and status = 'captured'`;
      return row;
    });
    await refuseClaims(1);
    const refund = await service.send('POST', `/v1/payments/${id}/refunds`, {
      body: { reason: 'complaint' },
      headers: payment.tokens.bearer(payment.ids(), 'ops'),
    });
    expect(refund.status).toBe(201);
    expect(await payment.sql`select from refunds where payment_id = ${id}`).toHaveLength(1);
  });
});
