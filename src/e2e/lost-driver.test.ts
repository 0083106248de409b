import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { formatTimestamp } from '@contracts/common.ts';
import type { TripRecord } from '@contracts/operators.ts';
import type { Quote, Receipt } from '@contracts/payments.ts';
import type { LoginSession } from '@contracts/people.ts';
import type { Trip } from '@contracts/trips.ts';
import { findPaymentViolations } from '@invariants/payments.ts';
import { findTripViolations } from '@invariants/trips.ts';
import {
  type ApiClient,
  createApiClient,
  expectStatus,
  type PersonClient,
  signUpDriver,
  signUpRider,
} from '@testing/people.ts';
import { opsEmail, opsPassword, type RunningSystem, startSystem } from '@testing/topologies.ts';
import { until } from '@testing/until.ts';

// A ride whose driver is banned or unreachable in the middle of it.

const startTimeoutMs = 60_000;
const reason = 'the driver was banned during the ride';

interface Ride {
  id: string;
  quote: Quote;
  startCode: string;
  rider: PersonClient;
  driver: PersonClient;
}

describe.each(['one process, embedded adapters', 'fleet'] as const)('%s', (topology) => {
  let system: RunningSystem;
  let operator: ApiClient;
  beforeAll(async () => {
    system = await startSystem(topology, { DRIVER_SILENT_MINUTES: '1' });
    const body = { email: opsEmail, password: opsPassword };
    const login = createApiClient(system.url).request<LoginSession>('POST', '/v1/auth/login', { body });
    operator = createApiClient(system.url, (await expectStatus(200, login)).body.tokens.accessToken);
  }, startTimeoutMs);
  afterAll(async () => {
    expect(await findTripViolations(system.schema('trip'))).toEqual([]);
    expect(await findPaymentViolations(system.schema('payment'))).toEqual([]);
    await system?.stop();
  }, startTimeoutMs);

  const onTrip = (id: string, step: string, body: object = { reason }) =>
    expectStatus(200, operator.request<TripRecord>('POST', `/v1/ops/trips/${id}/${step}`, { body }));
  const read = async ({ rider, id }: Ride) => (await rider.request<Trip>('GET', `/v1/trips/${id}`)).body;

  async function drive(driver: PersonClient, { id, rider, startCode }: Omit<Ride, 'driver'>): Promise<void> {
    const isOffered = async () => (await driver.request('GET', `/v1/trips/${id}`)).status === 200;
    await until(isOffered, { describe: 'the offer', timeoutMs: 10_000 });
    for (const [step, body] of [
      ['accept', {}],
      ['arrive', {}],
      ['start', { code: startCode }],
    ] as const)
      await expectStatus(200, driver.request('POST', `/v1/trips/${id}/${step}`, { body }));
    const { body } = await rider.request<Trip>('GET', `/v1/trips/${id}`);
    expect(body.status).toBe('in_progress');
  }

  /** Starts a ride whose driver is banned while it is in progress. */
  async function startRideAndBanDriver(place: { lat: number; lng: number }): Promise<Ride> {
    const { url } = system;
    const [rider, driver] = [await signUpRider(url), await signUpDriver(url, place)];
    const body = { pickup: place, dropoff: { lat: place.lat + 0.06, lng: place.lng }, product: 'car' };
    const quote = (await expectStatus(201, rider.request<Quote>('POST', '/v1/quotes', { body }))).body;
    const made = rider.request<Trip>('POST', '/v1/trips', { body: { quoteId: quote.id } });
    const { id, startCode = '' } = (await expectStatus(201, made)).body;
    const ride = { id, quote, startCode, rider, driver };
    await drive(driver, ride);
    await expectStatus(
      200,
      operator.request('POST', `/v1/ops/people/${driver.id}/ban`, { body: { reason } }),
    );
    const isTokenRevoked = async () => (await driver.request('GET', `/v1/trips/${id}`)).status === 401;
    await until(isTokenRevoked, { describe: 'the ban to be known' });
    expect((await driver.request('POST', `/v1/trips/${id}/complete`)).status).toBe(401);
    return ride;
  }

  const captured = ({ rider, id }: Ride) =>
    until(
      async () => {
        const { status, body } = await rider.request<Receipt>('GET', `/v1/trips/${id}/receipt`);
        return status === 200 && body.status === 'captured' ? body : undefined;
      },
      { describe: 'the payment to be captured', timeoutMs: 15_000 },
    );

  test('a ride whose driver is banned is completed by an operator and charged, and the rider can book again', async () => {
    const ride = await startRideAndBanDriver({ lat: 10.7769, lng: 106.7009 });
    expect((await read(ride)).status).toBe('in_progress');
    const { body } = await onTrip(ride.id, 'complete');
    expect(body.history.at(-1)).toMatchObject({ to: 'completed', actor: 'ops', reason });
    expect(await read(ride)).toMatchObject({ status: 'completed', endedBy: 'ops', reason: null });
    expect((await captured(ride)).total.amountMinor).toBe(ride.quote.fare.amountMinor);
    const again = { pickup: ride.quote.pickup, dropoff: ride.quote.dropoff, product: 'car' };
    const quote = (await expectStatus(201, ride.rider.request<Quote>('POST', '/v1/quotes', { body: again })))
      .body;
    await expectStatus(201, ride.rider.request('POST', '/v1/trips', { body: { quoteId: quote.id } }));
  });

  test('a ride whose driver is banned is cancelled by an operator and not charged', async () => {
    const ride = await startRideAndBanDriver({ lat: 16.4637, lng: 107.5909 });
    await onTrip(ride.id, 'cancel');
    expect(await read(ride)).toMatchObject({ status: 'cancelled', endedBy: 'ops' });
    expect((await ride.rider.request('GET', `/v1/trips/${ride.id}/receipt`)).status).toBe(404);
    const status = async () => {
      const [row] = await system.sql`select status from driver.drivers where id = ${ride.driver.id}`;
      return row?.status;
    };
    await until(async () => (await status()) !== 'on_trip', { describe: 'the driver to be off the trip' });
  });

  test('a ride whose driver is banned is reassigned and costs no more than the quote', async () => {
    const ride = await startRideAndBanDriver({ lat: 21.0278, lng: 105.8342 });
    const place = { lat: 21.05, lng: 105.8342 };
    const next = await signUpDriver(system.url, place);
    await onTrip(ride.id, 'hand-over', { reason, pickup: place });
    await drive(next, ride);
    await expectStatus(200, next.request('POST', `/v1/trips/${ride.id}/complete`, { body: {} }));
    expect(await read(ride)).toMatchObject({ status: 'completed', endedBy: 'driver', pickup: place });
    expect((await captured(ride)).total.amountMinor).toBeLessThanOrEqual(ride.quote.fare.amountMinor);
    const [payment] = await system.sql`select driver_id from payment.payments where trip_id = ${ride.id}`;
    expect(payment?.driver_id).toBe(next.id);
  });

  test('a rider ends the ride of an unreachable driver and pays for the distance up to the last position', async () => {
    const ride = await startRideAndBanDriver({ lat: 12.2388, lng: 109.1967 });
    const end = () => ride.rider.request<Trip>('POST', `/v1/trips/${ride.id}/complete`, { body: {} });
    const early = await end();
    expect([early.status, early.code]).toEqual([409, 'trip.driver_not_silent']);
    expect(Number(early.headers.get('retry-after'))).toBeGreaterThan(30);

    // Moves the start of the ride back two minutes, with the last position 40 seconds and 1.1 km later.
    const [row] = await system.sql<{ at_ms: string }[]>`
      update trip.trips set updated_at_ms = updated_at_ms - 120000 where id = ${ride.id}
      returning updated_at_ms as at_ms`;
    const startMs = Number(row?.at_ms);
    for (const [n, afterMs] of [0, 20_000, 40_000].entries())
      await system.sql`
        insert into driver.trip_tracks (trip_id, recorded_at_ms, driver_id, lat, lng)
        values (${ride.id}, ${startMs + afterMs}, ${ride.driver.id}, ${12.2388 + n * 0.005}, 109.1967)`;
    const ended = await expectStatus(200, end());
    expect(ended.body).toMatchObject({ status: 'completed', endedBy: 'rider', reason: 'driver_silent' });
    const receipt = await captured(ride);
    expect(receipt.distanceMetres).toBeGreaterThan(1_000);
    expect(receipt.distanceMetres).toBeLessThan(1_300);
    expect(receipt.durationSeconds).toBe(40);
    expect(receipt.total.amountMinor).toBeLessThan(ride.quote.fare.amountMinor);
    expect(Date.parse(receipt.completedAt)).toBeGreaterThan(Date.parse(formatTimestamp(startMs)));
  });
});
