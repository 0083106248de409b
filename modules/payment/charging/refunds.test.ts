import { beforeEach, describe, expect, test } from 'bun:test';
import { headers } from '@contracts/common.ts';
import type { DriverId, RiderId } from '@contracts/ids.ts';
import { Earnings, Payment, Refund } from '@contracts/payments.ts';
import { findPaymentViolations } from '@invariants/payments.ts';
import { createManualClock } from '@platform/clock.ts';
import { createSeededRandom } from '@platform/random.ts';
import { until } from '@testing/until.ts';
import type { PaymentProvider } from '../provider/provider.ts';
import { advanceUntil, createRiderWithCard, createTripCompletedEvent } from '../testing/harness.ts';
import type { PaymentInstance } from '../testing/instance.ts';
import { useTestPayment } from '../testing/setup.ts';

const payment = useTestPayment();
let service: PaymentInstance;
let ops: { authorization: string };
beforeEach(async () => {
  service = await payment.startInstance();
  ops = payment.tokens.bearer(payment.ids(), 'ops');
});

interface Captured {
  id: string;
  riderId: RiderId;
  driverId: DriverId;
}

/** Creates a captured payment of 100,001 đồng: 80,001 for the driver, 20,000 commission. */
async function capturedPayment(token = 'tok_visa'): Promise<Captured> {
  const driverId = payment.ids<DriverId>();
  const { riderId, paymentMethodId } = await createRiderWithCard(payment, service, token);
  const fare = { amountMinor: 100_001, currency: 'VND' } as const;
  const event = createTripCompletedEvent(payment, { riderId, driverId, paymentMethodId, fare });
  await payment.bus.publish([event]);
  const { id } = await until(payment.hasStatus(event.data.tripId, 'captured'));
  return { id, riderId, driverId };
}

interface RefundRequest {
  amountMinor?: number;
  reason?: string;
  key?: string;
  from?: PaymentInstance;
}

const refund = (
  id: string,
  { amountMinor, reason = 'the ride was cut short', key, from = service }: RefundRequest = {},
) =>
  from.send('POST', `/v1/payments/${id}/refunds`, {
    body: { reason, ...(amountMinor === undefined ? {} : { amountMinor }) },
    headers: { ...ops, ...(key === undefined ? {} : { [headers.idempotencyKey]: key }) },
  });

const read = async (id: string) =>
  (await service.send('GET', `/v1/payments/${id}`, { headers: ops })).as(Payment);

const balanceOf = async (driverId: DriverId) => {
  const bearer = payment.tokens.bearer(driverId, 'driver');
  const earnings = (await service.send('GET', '/v1/drivers/me/earnings', { headers: bearer })).as(Earnings);
  return earnings.balances[0]?.amountMinor;
};

const refundsAtProvider = async (id: string) => {
  const records = await payment.listProviderRecords(id);
  return records
    .flatMap(({ operation, amountMinor }) => (operation === 'refund' ? [amountMinor] : []))
    .sort((a, b) => a - b);
};

describe('a refund', () => {
  test('of a part leaves the payment captured, and is shared by driver and platform in proportion', async () => {
    const { id, driverId } = await capturedPayment();
    const answer = await refund(id, { amountMinor: 50_000 });
    expect(answer.status).toBe(201);
    expect(answer.as(Refund)).toMatchObject({
      paymentId: id,
      amount: { amountMinor: 50_000, currency: 'VND' },
    });
    expect(await read(id)).toMatchObject({ status: 'captured', refunded: { amountMinor: 50_000 } });
    expect(await balanceOf(driverId)).toBe(80_001 - 40_000);
    const published = await until(() =>
      payment.publishedEvents.find(({ type }) => type === 'payment.refunded.v1'),
    );
    expect(published.data).toMatchObject({ status: 'captured', refunded: { amountMinor: 50_000 } });
  });

  test('without an amount refunds the remaining amount and reverses the fare to the last đồng', async () => {
    const { id, driverId } = await capturedPayment();
    await refund(id, { amountMinor: 33_333 });
    expect((await refund(id)).as(Refund).amount.amountMinor).toBe(66_668);
    expect(await read(id)).toMatchObject({ status: 'refunded', refunded: { amountMinor: 100_001 } });
    expect(await balanceOf(driverId)).toBe(0);
    const [row] = await payment.sql<{ sum: string }[]>`
      select sum(amount_minor)::text as sum from entries where account = 'platform:commission'`;
    expect(row?.sum).toBe('0');
    await until(() => payment.publishedEvents.some(({ data }) => data.status === 'refunded'));
  });

  test('of more than the remaining amount is rejected and changes nothing', async () => {
    const { id } = await capturedPayment();
    await refund(id, { amountMinor: 100_000 });
    for (const amountMinor of [2, 100_001, 9_000_000_000_000_000]) {
      const answer = await refund(id, { amountMinor });
      expect([answer.status, answer.code]).toEqual([409, 'refund.too_large']);
    }
    await refund(id, { amountMinor: 1 });
    for (const amountMinor of [1, undefined]) {
      const answer = await refund(id, amountMinor === undefined ? {} : { amountMinor });
      expect([answer.status, answer.code]).toEqual([409, 'refund.too_large']);
    }
    expect(await refundsAtProvider(id)).toEqual([1, 100_000]);
  });

  test('requested concurrently never exceeds the captured amount', async () => {
    const { id, driverId } = await capturedPayment();
    const answers = await Promise.all(Array.from({ length: 10 }, () => refund(id, { amountMinor: 30_000 })));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(3);
    expect(answers.filter(({ code }) => code === 'refund.too_large')).toHaveLength(7);
    expect(await read(id)).toMatchObject({ status: 'captured', refunded: { amountMinor: 90_000 } });
    await refund(id);
    expect(await balanceOf(driverId)).toBe(0);
  });

  test('of random parts on two instances at random times always adds up', async () => {
    const random = createSeededRandom(11);
    const other = await payment.startInstance();
    const { id, driverId } = await capturedPayment('tok_double');
    for (let round = 0; round < 5; round++) {
      await Promise.all(
        [service, other, service, other].map((from) =>
          refund(id, { amountMinor: 1 + Math.floor(random.next() * 9_000), from }),
        ),
      );
      expect(await findPaymentViolations(payment.sql)).toEqual([]);
    }
    await refund(id);
    expect(await read(id)).toMatchObject({ status: 'refunded' });
    expect(await balanceOf(driverId)).toBe(0);
  });
});

describe('a repeated refund request', () => {
  test('with its key gets the same response and refunds once, even after the rest was refunded', async () => {
    const { id } = await capturedPayment();
    const first = await refund(id, { amountMinor: 60_000, key: 'k1' });
    await refund(id);
    const again = await refund(id, { amountMinor: 60_000, key: 'k1' });
    expect([again.status, again.text]).toEqual([201, first.text]);
    expect(await refundsAtProvider(id)).toEqual([40_001, 60_000]);
  });

  test('with its key at the same time refunds once', async () => {
    const { id } = await capturedPayment();
    const answers = await Promise.all([1, 2, 3, 4].map(() => refund(id, { amountMinor: 20_000, key: 'k1' })));
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(await refundsAtProvider(id)).toEqual([20_000]);
  });

  test('with its key but another amount or another payment is rejected', async () => {
    const { id } = await capturedPayment();
    const other = await capturedPayment();
    await refund(id, { amountMinor: 60_000, key: 'k1' });
    for (const answer of [
      await refund(id, { amountMinor: 1, key: 'k1' }),
      await refund(other.id, { amountMinor: 60_000, key: 'k1' }),
    ]) {
      expect([answer.status, answer.code]).toEqual([422, 'idempotency.key_reused']);
    }
  });

  test('with the key of a rejected request is decided again', async () => {
    const { id } = await capturedPayment();
    await Promise.all([
      refund(id, { amountMinor: 100_001, key: 'a' }),
      refund(id, { amountMinor: 100_001, key: 'b' }),
    ]);
    const answers = [
      await refund(id, { amountMinor: 100_001, key: 'a' }),
      await refund(id, { amountMinor: 100_001, key: 'b' }),
    ];
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
    expect(await refundsAtProvider(id)).toEqual([100_001]);
  });
});

describe('a refund is rejected with', () => {
  test('404 for a payment that does not exist', async () => {
    const answer = await refund(payment.ids());
    expect([answer.status, answer.code]).toEqual([404, 'payment.not_found']);
  });

  test('409 for a payment that was not captured', async () => {
    const { riderId, paymentMethodId } = await createRiderWithCard(payment, service, 'tok_declined');
    const event = createTripCompletedEvent(payment, { riderId, paymentMethodId });
    await payment.bus.publish([event]);
    const { id } = await until(payment.hasStatus(event.data.tripId, 'failed'));
    const answer = await refund(id);
    expect([answer.status, answer.code]).toEqual([409, 'payment.not_captured']);
  });

  test('403 to riders and drivers', async () => {
    const { id, riderId, driverId } = await capturedPayment();
    for (const bearer of [
      payment.tokens.bearer(riderId, 'rider'),
      payment.tokens.bearer(driverId, 'driver'),
    ]) {
      const answer = await service.send('POST', `/v1/payments/${id}/refunds`, {
        body: { reason: 'x' },
        headers: bearer,
      });
      expect([answer.status, answer.code]).toEqual([403, 'auth.role_forbidden']);
    }
  });

  test('400 for invalid amounts, a missing reason and unknown fields', async () => {
    const { id } = await capturedPayment();
    for (const body of [
      { reason: 'x', amountMinor: 0 },
      { reason: 'x', amountMinor: -1 },
      { reason: 'x', amountMinor: 1.5 },
      { reason: 'x', amountMinor: '10' },
      { amountMinor: 10 },
      { reason: '' },
      { reason: 'x', currency: 'USD' },
    ]) {
      const answer = await service.send('POST', `/v1/payments/${id}/refunds`, { body, headers: ops });
      expect([answer.status, answer.code]).toEqual([400, 'request.invalid']);
    }
    expect(await refundsAtProvider(id)).toEqual([]);
  });
});

describe('a provider that', () => {
  test('loses the answer to a refund refunds once', async () => {
    const { id } = await capturedPayment('tok_timeout');
    expect((await refund(id, { amountMinor: 10_000 })).status).toBe(201);
    expect(await read(id)).toMatchObject({ refunded: { amountMinor: 10_000 } });
    expect(await refundsAtProvider(id)).toEqual([10_000]);
  });

  test('is unreachable delays an accepted refund until it answers', async () => {
    let isUnreachable = true;
    const cutOff = <Answer>(call: () => Promise<Answer>) =>
      isUnreachable ? Promise.reject(new Error('connection refused')) : call();
    const far = payment.createInstance({
      wrapProvider: (real): PaymentProvider => ({
        ...real,
        refund: (request) => cutOff(() => real.refund(request)),
        list: (reference) => cutOff(() => real.list(reference)),
      }),
    });
    const { id, driverId } = await capturedPayment();
    await service.stop();
    await far.start();
    expect((await refund(id, { amountMinor: 70_000, from: far })).status).toBe(201);
    expect(await read(id)).toMatchObject({ status: 'captured', refunded: { amountMinor: 0 } });
    expect(await balanceOf(driverId)).toBe(80_001);
    expect((await refund(id, { amountMinor: 40_000, from: far })).code).toBe('refund.too_large');
    await payment.clock.advance(120_000);
    isUnreachable = false;
    await advanceUntil(
      payment.clock,
      async () => (await read(id)).refunded.amountMinor === 70_000,
      'the refund',
    );
    expect(await refundsAtProvider(id)).toEqual([70_000]);
  });

  test('declines a refund makes it fail, for a repeated request too, and releases the amount', async () => {
    const strict = payment.createInstance({
      wrapProvider: (real) => ({
        ...real,
        refund: async () => ({ kind: 'declined', reason: 'charge_disputed' }),
      }),
    });
    const { id } = await capturedPayment();
    for (let time = 0; time < 2; time++) {
      const answer = await refund(id, { key: 'k1', from: strict });
      expect([answer.status, answer.code]).toEqual([409, 'refund.declined']);
    }
    expect((await refund(id)).status).toBe(201);
    expect(await read(id)).toMatchObject({ status: 'refunded' });
  });

  test('is called by a process that dies is called again by another, and refunds once', async () => {
    const acted = Promise.withResolvers<void>();
    const revived = Promise.withResolvers<void>();
    const dying = payment.createInstance({
      clock: createManualClock(payment.clock.nowMs()),
      wrapProvider: (real) => ({
        ...real,
        async refund(request) {
          const answer = await real.refund(request);
          acted.resolve();
          await revived.promise;
          return answer;
        },
      }),
    });
    const { id } = await capturedPayment();
    const response = refund(id, { amountMinor: 10_000, from: dying });
    await acted.promise;
    expect(await read(id)).toMatchObject({ refunded: { amountMinor: 0 } });
    await payment.clock.advance(60_000);
    await advanceUntil(
      payment.clock,
      async () => (await read(id)).refunded.amountMinor === 10_000,
      'the refund',
    );
    revived.resolve();
    expect((await response).status).toBe(201);
    expect(await refundsAtProvider(id)).toEqual([10_000]);
    expect(await read(id)).toMatchObject({ refunded: { amountMinor: 10_000 } });
  });
});
