import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { formatTimestamp } from '@contracts/common.ts';
import type { Earnings, Payment, Quote, Receipt } from '@contracts/payments.ts';
import type { Trip, TripHistoryEntry } from '@contracts/trips.ts';
import { findPaymentViolations } from '@invariants/payments.ts';
import { findTripViolations } from '@invariants/trips.ts';
import {
  createApiClient,
  expectStatus,
  type PersonClient,
  signUpDriver,
  signUpRider,
} from '@testing/people.ts';
import { connectRealtime, isGapless } from '@testing/realtime.ts';
import { opsEmail, opsPassword, type RunningSystem, startSystem, topologies } from '@testing/topologies.ts';
import { until } from '@testing/until.ts';

const pickup = { lat: 10.7769, lng: 106.7009 };
const dropoff = { lat: 10.8231, lng: 106.6297 };
const startTimeoutMs = 60_000;

// Whether a consumer of events or the request itself finds the driver makes no visible difference.
const systems = [
  ...topologies.map((topology) => [topology, 'events'] as const),
  ['one process, real adapters', 'sync'] as const,
];

describe.each(systems)('%s, DISPATCH_MODE=%s', (topology, mode) => {
  let system: RunningSystem;
  beforeAll(async () => {
    system = await startSystem(topology, { DISPATCH_MODE: mode });
  }, startTimeoutMs);
  afterAll(() => system?.stop(), startTimeoutMs);

  test('a ride goes from the quote to the receipt, and both sides receive every event', async () => {
    const { url } = system;
    const rider = await signUpRider(url);
    const driver = await signUpDriver(url, { lat: 10.778, lng: 106.702 });
    const [riderLive, driverLive] = [await connectRealtime(url, rider), await connectRealtime(url, driver)];

    const quoted = await expectStatus(
      201,
      rider.request<Quote>('POST', '/v1/quotes', { body: { pickup, dropoff, product: 'car' } }),
    );
    const quote = quoted.body;
    expect(quote.fare.amountMinor).toBe(quote.lines.reduce((sum, line) => sum + line.amountMinor, 0));

    const requested = await expectStatus(
      201,
      rider.request<Trip>('POST', '/v1/trips', { body: { quoteId: quote.id } }),
    );
    const { id, startCode } = requested.body;
    expect(requested.headers.get('location')).toBe(`/v1/trips/${id}`);
    expect(startCode).toMatch(/^\d{4}$/);
    const act = (action: string, body: object = {}) =>
      driver.request<Trip>('POST', `/v1/trips/${id}/${action}`, { body });

    await driverLive.waitForEvent('trip.offered');
    const accepted = await expectStatus(200, act('accept'));
    expect(accepted.body).toMatchObject({ status: 'assigned', vehicle: { model: 'Vios' } });
    expect(accepted.body.startCode).toBeUndefined();
    await riderLive.waitForEvent('trip.assigned');
    expect((await rider.request<Trip>('GET', `/v1/trips/${id}`)).body.vehicle?.model).toBe('Vios');

    const motion = { headingDegrees: 271.5, speedMetresPerSecond: 8 };
    const seen = until(
      async () => {
        const body = { ...pickup, ...motion };
        await expectStatus(204, driver.request('PUT', '/v1/drivers/me/location', { body }));
        return riderLive.frames.find((frame) => frame.type === 'position');
      },
      { describe: "the driver's position on the rider's connection" },
    );
    expect(await seen).toMatchObject({ tripId: id, ...pickup, ...motion });
    await expectStatus(200, act('arrive'));
    const wrong = startCode === '0000' ? '0001' : '0000';
    expect((await act('start', { code: wrong })).code).toBe('trip.start_code_wrong');
    await expectStatus(200, act('start', { code: startCode }));
    expect((await expectStatus(200, act('complete'))).body.status).toBe('completed');

    await riderLive.waitForEvent('payment.captured');
    const receipt = (await expectStatus(200, rider.request<Receipt>('GET', `/v1/trips/${id}/receipt`))).body;
    expect(receipt.status).toBe('captured');
    expect(receipt.total).toEqual(quote.fare);
    const payment = (
      await expectStatus(200, driver.request<Payment>('GET', `/v1/payments/${receipt.paymentId}`))
    ).body;
    expect(payment.amount).toEqual(quote.fare);
    const earnings = (await expectStatus(200, driver.request<Earnings>('GET', '/v1/drivers/me/earnings')))
      .body;
    expect(earnings.balances[0]?.amountMinor).toBeGreaterThan(quote.fare.amountMinor / 2);

    await expectStatus(201, rider.request('POST', `/v1/trips/${id}/rating`, { body: { stars: 5 } }));
    const history = (await rider.request<{ items: TripHistoryEntry[] }>('GET', `/v1/trips/${id}/history`))
      .body.items;
    expect(history.map(({ to }) => to)).toEqual([
      'requested',
      'offered',
      'assigned',
      'arrived',
      'in_progress',
      'completed',
    ]);
    expect(history.map(({ version }) => version)).toEqual([1, 2, 3, 4, 5, 6]);

    const received = riderLive.events().map(({ event }) => event);
    expect(received).toEqual([
      'trip.assigned',
      'trip.arrived',
      'trip.started',
      'trip.completed',
      'payment.captured',
    ]);
    const welcome = riderLive.frames[0];
    expect(isGapless(riderLive.events(), welcome?.type === 'welcome' ? welcome.lastSeq : -1)).toBe(true);
    riderLive.close();
    driverLive.close();
    await until(
      async () =>
        (await driver.request<{ status: string }>('GET', '/v1/drivers/me')).body.status === 'available',
      {
        describe: 'the driver to be available again',
      },
    );
  });

  test('a ride that ends long before its drop-off costs less than the quote', async () => {
    const { url } = system;
    const place = { lat: 16.4637, lng: 107.5909 };
    const rider = await signUpRider(url);
    const driver = await signUpDriver(url, place);
    const quoteRequest = { pickup: place, dropoff: { lat: 16.53, lng: 107.62 }, product: 'car' };
    const quote = (
      await expectStatus(201, rider.request<Quote>('POST', '/v1/quotes', { body: quoteRequest }))
    ).body;
    const { id, startCode } = (
      await expectStatus(201, rider.request<Trip>('POST', '/v1/trips', { body: { quoteId: quote.id } }))
    ).body;
    const act = (action: string, body: object = {}) =>
      expectStatus(200, driver.request('POST', `/v1/trips/${id}/${action}`, { body }));
    const isOffered = async () =>
      (await rider.request<Trip>('GET', `/v1/trips/${id}`)).body.status === 'offered';
    await until(isOffered, { describe: 'the offer' });
    await act('accept');
    const isOnTrip = async () =>
      (await driver.request<{ status: string }>('GET', '/v1/drivers/me')).body.status === 'on_trip';
    await until(isOnTrip, { describe: 'the driver to be on the trip' });
    await act('arrive');
    await act('start', { code: startCode });

    const startMs = Date.now();
    const points = Array.from({ length: 12 }, (_, n) => ({
      lat: place.lat + n / 1_000,
      lng: place.lng,
      recordedAt: formatTimestamp(startMs + n),
    }));
    const sent = driver.request('POST', '/v1/drivers/me/locations', { body: { points } });
    expect((await expectStatus(200, sent)).body).toEqual({ accepted: 12, refused: [] });
    const isSaved = async () =>
      (await system.sql`select 1 from driver.trip_tracks where trip_id = ${id}`).length === 12;
    await until(isSaved, { describe: 'the track' });
    await act('complete');

    const receipt = await until(
      async () => {
        const { status, body } = await rider.request<Receipt>('GET', `/v1/trips/${id}/receipt`);
        return status === 200 && body.status === 'captured' ? body : undefined;
      },
      { describe: 'the payment to be captured', timeoutMs: 10_000 },
    );
    // 1.2 km were driven; the distance is reduced by half at most.
    expect(receipt.distanceMetres).toBe(Math.ceil(quote.distanceMetres / 2));
    expect(receipt.total.amountMinor).toBeLessThan(quote.fare.amountMinor);
  });

  test('a declined offer goes to the next driver, and a lost connection resumes without a gap', async () => {
    const { url } = system;
    const place = { lat: 21.0278, lng: 105.8342 };
    const rider = await signUpRider(url);
    const near = await signUpDriver(url, { lat: 21.028, lng: 105.8343 });
    const far = await signUpDriver(url, { lat: 21.035, lng: 105.8343 });
    const before = await connectRealtime(url, rider);
    const since = before.frames[0]?.type === 'welcome' ? before.frames[0].lastSeq : -1;
    before.close();

    const quote = await expectStatus(
      201,
      rider.request<Quote>('POST', '/v1/quotes', {
        body: { pickup: place, dropoff: { lat: 21.05, lng: 105.85 }, product: 'car' },
      }),
    );
    const { id } = (
      await expectStatus(201, rider.request<Trip>('POST', '/v1/trips', { body: { quoteId: quote.body.id } }))
    ).body;
    // Only the driver with the offer sees the trip; for everybody else it does not exist.
    const hasOffer = async (driver: PersonClient) =>
      (await driver.request<Trip>('GET', `/v1/trips/${id}`)).body.offer?.expiresAt !== undefined;
    await until(() => hasOffer(near), { describe: 'the offer to the nearest driver' });
    expect((await far.request('GET', `/v1/trips/${id}`)).status).toBe(404);
    await expectStatus(204, near.request('POST', `/v1/trips/${id}/decline`, { body: {} }));
    await until(() => hasOffer(far), { describe: 'the offer to the next driver' });
    expect((await near.request('POST', `/v1/trips/${id}/accept`, { body: {} })).status).toBe(409);
    await expectStatus(200, far.request('POST', `/v1/trips/${id}/accept`, { body: {} }));
    await expectStatus(200, far.request('POST', `/v1/trips/${id}/cancel`, { body: { reason: 'flat tyre' } }));

    await until(
      async () => {
        const again = await connectRealtime(url, rider);
        again.send({ type: 'resume', after: since });
        await until(() => again.frames.some(({ type }) => type === 'resumed'));
        const received = again.events();
        again.close();
        return (
          // The event of the voided authorisation may come at any time.
          received
            .map(({ event }) => event)
            .filter((event) => event.startsWith('trip.'))
            .join() === 'trip.assigned,trip.cancelled' && isGapless(received, since)
        );
      },
      { describe: 'the resumed connection to bring what was missed', timeoutMs: 10_000 },
    );
  });

  test('a refund by an operator reaches the rider and leaves every sum at zero', async () => {
    const ops = await expectStatus(
      200,
      createApiClient(system.url).request<{ tokens: { accessToken: string } }>('POST', '/v1/auth/login', {
        body: { email: opsEmail, password: opsPassword },
      }),
    );
    const operator = createApiClient(system.url, ops.body.tokens.accessToken);
    const [captured] = await system.sql<
      { id: string; amount_minor: number }[]
    >`select id, amount_minor from payment.payments where status = 'captured' limit 1`;
    const path = `/v1/payments/${captured?.id}/refunds`;
    const refund = { body: { amountMinor: 1_000, reason: 'detour' }, idempotencyKey: 'refund-1' };
    const first = await expectStatus(201, operator.request('POST', path, refund));
    expect((await expectStatus(201, operator.request('POST', path, refund))).body).toEqual(first.body);
    expect(
      (await operator.request('POST', path, { body: { amountMinor: 1e12, reason: 'too much' } })).code,
    ).toBe('refund.too_large');
  });

  test('all invariants hold', async () => {
    await until(
      async () =>
        (await system.sql`select 1 from trip.outbox union all select 1 from payment.outbox`).length === 0,
    );
    expect(await findTripViolations(system.schema('trip'))).toEqual([]);
    expect(await findPaymentViolations(system.schema('payment'))).toEqual([]);
  });
});
