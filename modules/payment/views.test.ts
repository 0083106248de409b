import { beforeAll, describe, expect, test } from 'bun:test';
import type { DriverId, RiderId, TripId } from '@contracts/ids.ts';
import { Earnings, Receipt } from '@contracts/payments.ts';
import type { Role } from '@contracts/people.ts';
import { until } from '@testing/until.ts';
import { createRiderWithCard, createTripCompletedEvent } from './testing/harness.ts';
import type { PaymentInstance } from './testing/instance.ts';
import { useTestPayment } from './testing/setup.ts';

const payment = useTestPayment({ per: 'file' });
let service: PaymentInstance;
beforeAll(async () => {
  service = await payment.startInstance();
});

const get = (path: string, id: string, role: Role) =>
  service.send('GET', path, { headers: payment.tokens.bearer(id, role) });

const fareOf = (amountMinor: number) => ({ amountMinor, currency: 'VND' });

interface Paid {
  id: string;
  tripId: TripId;
  riderId: RiderId;
  driverId: DriverId;
}

async function paidTrip(
  driverId = payment.ids<DriverId>(),
  amountMinor = 50_000,
  token = 'tok_visa',
): Promise<Paid> {
  const { riderId, paymentMethodId } = await createRiderWithCard(payment, service, token);
  const fare = { amountMinor, currency: 'VND' } as const;
  const fareLines = [{ kind: 'base' as const, amountMinor }];
  const event = createTripCompletedEvent(payment, { riderId, driverId, paymentMethodId, fare, fareLines });
  const { tripId } = event.data;
  await payment.bus.publish([event]);
  const { id } = await until(async () => {
    const [row] = await payment.sql<{ id: string }[]>`
      select id from payments where trip_id = ${tripId} and status in ('captured', 'failed')`;
    return row;
  });
  return { id, tripId, riderId, driverId };
}

describe('a payment', () => {
  test('is shown to its rider, its driver and operators, each with exactly their fields', async () => {
    const { id, tripId, riderId, driverId } = await paidTrip();
    const shared = { id, tripId, status: 'captured', amount: fareOf(50_000), refunded: fareOf(0) };
    const times = { createdAt: expect.any(String), updatedAt: expect.any(String) };
    for (const [viewerId, role, own] of [
      [riderId, 'rider', { failureReason: null }],
      [driverId, 'driver', {}],
      [payment.ids<string>(), 'ops', { failureReason: null, riderId, driverId }],
    ] as const) {
      const { text } = await get(`/v1/payments/${id}`, viewerId, role);
      expect([role, JSON.parse(text)]).toEqual([role, { ...shared, ...own, ...times }]);
    }
  });

  test('of another person answers 404, as does one that never existed', async () => {
    const { id, riderId, driverId } = await paidTrip();
    const responses = await Promise.all([
      get(`/v1/payments/${id}`, payment.ids(), 'rider'),
      get(`/v1/payments/${id}`, payment.ids(), 'driver'),
      // The right person in the wrong role does not see it either.
      get(`/v1/payments/${id}`, driverId, 'rider'),
      get(`/v1/payments/${payment.ids()}`, riderId, 'rider'),
    ]);
    expect(responses.map(({ status, code }) => `${status} ${code}`)).toEqual(
      Array(4).fill('404 payment.not_found'),
    );
  });

  test('with a malformed id answers 400', async () => {
    const answer = await get('/v1/payments/1', payment.ids(), 'rider');
    expect([answer.status, answer.code]).toEqual([400, 'request.invalid']);
  });
});

describe('a receipt', () => {
  test('shows rider and driver the fare lines, the total and the time of the capture', async () => {
    const { id, tripId, riderId, driverId } = await paidTrip();
    const forRider = await get(`/v1/trips/${tripId}/receipt`, riderId, 'rider');
    expect(forRider.as(Receipt)).toMatchObject({
      tripId,
      paymentId: id,
      status: 'captured',
      lines: [{ kind: 'base', amountMinor: 50_000 }],
      total: { amountMinor: 50_000, currency: 'VND' },
      refunded: { amountMinor: 0, currency: 'VND' },
      capturedAt: new Date(payment.clock.nowMs()).toISOString(),
    });
    expect((await get(`/v1/trips/${tripId}/receipt`, driverId, 'driver')).text).toBe(forRider.text);
  });

  test('shows that a charge failed', async () => {
    const { tripId, riderId } = await paidTrip(undefined, 50_000, 'tok_declined');
    const receipt = (await get(`/v1/trips/${tripId}/receipt`, riderId, 'rider')).as(Receipt);
    expect(receipt).toMatchObject({ status: 'failed', capturedAt: null });
  });

  test('answers 404 before the trip is completed and to other people', async () => {
    const { tripId, riderId } = await paidTrip();
    const responses = await Promise.all([
      get(`/v1/trips/${payment.ids()}/receipt`, riderId, 'rider'),
      get(`/v1/trips/${tripId}/receipt`, payment.ids(), 'rider'),
      get(`/v1/trips/${tripId}/receipt`, payment.ids(), 'driver'),
    ]);
    expect(responses.map(({ status, code }) => `${status} ${code}`)).toEqual(
      Array(3).fill('404 receipt.not_found'),
    );
  });
});

describe("a driver's earnings", () => {
  test('are empty before', async () => {
    const answer = await get('/v1/drivers/me/earnings', payment.ids(), 'driver');
    expect(answer.as(Earnings)).toEqual({ balances: [], items: [], nextCursor: null });
  });

  test('are paged newest first, each entry once, even when new entries arrive in between', async () => {
    const driverId = payment.ids<DriverId>();
    for (let n = 1; n <= 5; n++) {
      // Two entries share a millisecond, so the cursor must tell them apart.
      if (n !== 3) await payment.clock.advance(1_000);
      await paidTrip(driverId, n * 10_000);
    }
    const first = (await get('/v1/drivers/me/earnings?limit=2', driverId, 'driver')).as(Earnings);
    await paidTrip(driverId, 990_000);
    const amounts = first.items.map(({ amount }) => amount.amountMinor);
    for (let cursor = first.nextCursor; cursor !== null; ) {
      const page = (await get(`/v1/drivers/me/earnings?limit=2&cursor=${cursor}`, driverId, 'driver')).as(
        Earnings,
      );
      amounts.push(...page.items.map(({ amount }) => amount.amountMinor));
      cursor = page.nextCursor;
    }
    expect(amounts).toEqual([40_000, 32_000, 24_000, 16_000, 8_000]);
  });

  test('are fares minus refunds, and the balance is their sum', async () => {
    const driverId = payment.ids<DriverId>();
    const { id, tripId } = await paidTrip(driverId, 10_000);
    await paidTrip(driverId, 20_000);
    await payment.clock.advance(1_000);
    await service.send('POST', `/v1/payments/${id}/refunds`, {
      body: { reason: 'a detour', amountMinor: 5_000 },
      headers: payment.tokens.bearer(payment.ids(), 'ops'),
    });
    const { balances, items } = (await get('/v1/drivers/me/earnings', driverId, 'driver')).as(Earnings);
    expect(items[0]).toMatchObject({
      tripId,
      kind: 'refund',
      amount: { amountMinor: -4_000, currency: 'VND' },
    });
    expect(items).toHaveLength(3);
    expect(balances).toEqual([{ amountMinor: 8_000 + 16_000 - 4_000, currency: 'VND' }]);
  });

  test('are available only to drivers', async () => {
    const answer = await get('/v1/drivers/me/earnings', payment.ids(), 'rider');
    expect([answer.status, answer.code]).toEqual([403, 'auth.role_forbidden']);
  });
});
