import { describe, expect, test } from 'bun:test';
import { headers, Page } from '@contracts/common.ts';
import type { PaymentMethodId, RiderId, TripId } from '@contracts/ids.ts';
import { Quote, QuoteForTrip, RiderPayment } from '@contracts/payments.ts';
import { Type } from '@sinclair/typebox';
import { serviceAuthHeaders } from '@testing/service-auth.ts';
import { until } from '@testing/until.ts';
import { advanceUntil, createRiderWithCard } from '../testing/harness.ts';
import type { PaymentInstance, PaymentInstanceOptions } from '../testing/instance.ts';
import { useTestPayment } from '../testing/setup.ts';
import { createTripEvents } from '../testing/trip-events.ts';

const payment = useTestPayment({ checksTimers: true });

interface Debtor {
  service: PaymentInstance;
  id: string;
  tripId: TripId;
  riderId: RiderId;
  bearer: { authorization: string };
  paymentMethodId: PaymentMethodId;
}

const hourMs = 3_600_000;
const ride = {
  pickup: { lat: 10.77, lng: 106.7 },
  dropoff: { lat: 10.8, lng: 106.65 },
  product: 'car',
};

/** Creates a rider whose card was declined at the end of a ride. */
async function createDebtor(token = 'tok_declined', options: PaymentInstanceOptions = {}): Promise<Debtor> {
  const service = await payment.startInstance(options);
  const rider = await createRiderWithCard(payment, service, token);
  const { completed, tripId } = createTripEvents(payment, rider);
  await payment.bus.publish([completed]);
  const { id } = await until(payment.hasStatus(tripId, 'failed'));
  return { service, id, tripId, ...rider };
}

const addCard = async ({ service, bearer }: Debtor, token: string): Promise<PaymentMethodId> => {
  const answer = await service.send('POST', '/v1/payment-methods', {
    body: { kind: 'card', token },
    headers: bearer,
  });
  return answer.as(Type.Object({ id: Type.Unsafe<PaymentMethodId>(Type.String()) })).id;
};

const pay = ({ service, id, bearer }: Debtor, paymentMethodId: string, key?: string) =>
  service.send('POST', `/v1/payments/${id}/pay`, {
    body: { paymentMethodId },
    headers: { ...bearer, ...(key === undefined ? {} : { [headers.idempotencyKey]: key }) },
  });

/** Uses a new access token, because some tests let hours pass. */
const askQuote = ({ service, riderId }: Debtor) =>
  service.send('POST', '/v1/quotes', { body: ride, headers: payment.tokens.bearer(riderId, 'rider') });

const listOwed = async ({ service, bearer }: Debtor) =>
  (await service.send('GET', '/v1/payments?status=failed', { headers: bearer })).as(Page(RiderPayment)).items;

describe('a debt', () => {
  test('rejects the next quote and names the payment, until it is paid', async () => {
    const rider = await createDebtor();
    const refused = await askQuote(rider);
    expect([refused.status, refused.code]).toEqual([409, 'payment.debt_outstanding']);
    expect(refused.text).toContain(rider.id);
    expect((await pay(rider, await addCard(rider, 'tok_visa'))).as(RiderPayment).status).toBe('captured');
    expect((await askQuote(rider)).as(Quote).riderId).toBe(rider.riderId);
  });

  test('that arose after a quote is returned with the quote to the trip context', async () => {
    const service = await payment.startInstance();
    const rider = await createRiderWithCard(payment, service, 'tok_declined');
    const quote = (await service.send('POST', '/v1/quotes', { body: ride, headers: rider.bearer })).as(Quote);
    const { completed } = createTripEvents(payment, rider);
    await payment.bus.publish([completed]);
    await until(async () => (await payment.sql`select from payments where status = 'failed'`).length === 1);
    const [row] = await payment.sql<{ id: string }[]>`select id from payments`;
    const found = await service.send('GET', `/internal/payment/quotes/${quote.id}?riderId=${rider.riderId}`, {
      headers: serviceAuthHeaders('payment', payment.clock),
    });
    expect(found.as(QuoteForTrip)).toMatchObject({ quote: { id: quote.id }, debtPaymentId: row?.id });
  });

  test('declines a trip that was requested nevertheless, with the reason `debt_outstanding`', async () => {
    const { riderId, paymentMethodId } = await createDebtor();
    const { requested, tripId } = createTripEvents(payment, { riderId, paymentMethodId });
    await payment.bus.publish([requested]);
    const published = await until(() =>
      payment.publishedEvents.find(({ type }) => type === 'payment.declined.v1'),
    );
    expect(published.data).toMatchObject({ tripId, status: 'declined', failureReason: 'debt_outstanding' });
  });

  test('is listed only to its rider', async () => {
    const [one, other] = [await createDebtor(), await createDebtor()];
    expect((await listOwed(one)).map(({ id }) => id)).toEqual([one.id as RiderPayment['id']]);
    expect((await listOwed(other)).map(({ id }) => id)).toEqual([other.id as RiderPayment['id']]);
    const asDriver = payment.tokens.bearer(payment.ids(), 'driver');
    expect((await one.service.send('GET', '/v1/payments', { headers: asDriver })).status).toBe(403);
  });

  test('is published once, is retried every six hours, and is not retried after the configured number of days', async () => {
    const rider = await createDebtor('tok_declined', { settings: { DEBT_RETRY_DAYS: '1' } });
    const declines = async () =>
      (await payment.sql`select from provider_charges where reference = ${rider.id}`).length;
    for (let attempt = 1; attempt <= 3; attempt++) {
      expect(await declines()).toBe(attempt);
      await payment.clock.advance(6 * hourMs);
      await advanceUntil(payment.clock, async () => (await declines()) === attempt + 1, 'the next attempt');
      await until(async () => (await payment.findPayment(rider.tripId))?.attempt === attempt + 2);
    }
    expect((await payment.findPayment(rider.tripId))?.timerAtMs).toBeNull();
    expect((await askQuote(rider)).code).toBe('payment.debt_outstanding');
    expect(payment.publishedEvents.map(({ type }) => type)).toEqual(['payment.failed.v1']);
  });

  test('is captured by a retry once the card has funds again', async () => {
    let isRefused = true;
    const rider = await createDebtor('tok_visa', {
      wrapProvider: (real) => ({
        ...real,
        authorise: async (request) =>
          isRefused ? { kind: 'declined', reason: 'insufficient_funds' } : real.authorise(request),
      }),
    });
    isRefused = false;
    await payment.clock.advance(6 * hourMs);
    await advanceUntil(payment.clock, payment.hasStatus(rider.tripId, 'captured'), 'the next attempt');
    expect((await askQuote(rider)).status).toBe(201);
    await until(() => payment.publishedEvents.length === 2);
    expect(payment.publishedEvents.map(({ type }) => type)).toEqual([
      'payment.failed.v1',
      'payment.captured.v1',
    ]);
  });

  test('whose capture was declined leaves no authorisation open between two attempts', async () => {
    const rider = await createDebtor('tok_no_funds');
    await until(async () => (await payment.sql`select from reversals where status = 'done'`).length === 1);
    await payment.clock.advance(1_000);
    await until(async () => (await payment.sql`select from reversals where status = 'done'`).length === 2);
    expect((await pay(rider, await addCard(rider, 'tok_visa'))).as(RiderPayment).status).toBe('captured');
  });
});

describe('paying a debt', () => {
  test('with a declined card is rejected, and with the next card it is paid, once for each key', async () => {
    const rider = await createDebtor();
    const [bad, good] = [await addCard(rider, 'tok_declined'), await addCard(rider, 'tok_visa')];
    for (let time = 0; time < 2; time++) {
      const refused = await pay(rider, bad, 'first');
      expect([refused.status, refused.code]).toEqual([409, 'payment.declined']);
    }
    const paid = await pay(rider, good, 'second');
    expect([paid.status, paid.as(RiderPayment).status]).toEqual([200, 'captured']);
    expect((await pay(rider, good, 'second')).text).toBe(paid.text);
    expect((await pay(rider, good, 'third')).code).toBe('payment.not_owed');
    expect((await pay(rider, bad, 'second')).status).toBe(422);
    expect(
      await payment.sql`
      select from provider_charges where operation = 'capture' and outcome = 'ok'`,
    ).toHaveLength(1);
  });

  test('is allowed only to its rider and with their own card', async () => {
    const [one, other] = [await createDebtor(), await createDebtor()];
    const [mine, theirs] = [await addCard(one, 'tok_visa'), await addCard(other, 'tok_visa')];
    expect((await pay({ ...one, bearer: other.bearer }, theirs)).code).toBe('payment.not_found');
    expect((await pay(one, theirs)).code).toBe('payment_method.not_found');
    expect((await pay(one, 'none')).status).toBe(400);
    expect((await pay(one, mine)).status).toBe(200);
  });

  test('concurrently charges it once', async () => {
    const rider = await createDebtor();
    const card = await addCard(rider, 'tok_visa');
    const answers = await Promise.all([1, 2, 3, 4, 5].map((n) => pay(rider, card, `key-${n}`)));
    expect(answers.map(({ status, code }) => code ?? status)).toContain(200);
    for (const { status, code } of answers)
      if (status !== 200) expect(code).toMatch(/payment\.(in_progress|not_owed)/);
    await until(payment.hasStatus(rider.tripId, 'captured'));
    expect(
      await payment.sql`
      select from provider_charges where operation = 'capture' and outcome = 'ok'`,
    ).toHaveLength(1);
  });

  test('while the provider does not answer leaves it owed, and it is captured when the provider answers', async () => {
    let isUnreachable = false;
    const rider = await createDebtor('tok_declined', {
      wrapProvider: (real) => ({
        ...real,
        authorise: (request) =>
          isUnreachable ? Promise.reject(new Error('unreachable')) : real.authorise(request),
        list: (reference) =>
          isUnreachable ? Promise.reject(new Error('unreachable')) : real.list(reference),
      }),
    });
    const card = await addCard(rider, 'tok_visa');
    isUnreachable = true;
    expect((await pay(rider, card)).as(RiderPayment).status).toBe('failed');
    expect((await pay(rider, card)).code).toBe('payment.in_progress');
    isUnreachable = false;
    await advanceUntil(payment.clock, payment.hasStatus(rider.tripId, 'captured'), 'the capture');
  });
});
