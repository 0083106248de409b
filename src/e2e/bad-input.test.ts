import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { NearbyDrivers } from '@contracts/drivers.ts';
import type { Quote } from '@contracts/payments.ts';
import type { Trip } from '@contracts/trips.ts';
import {
  createApiClient,
  expectStatus,
  type PersonClient,
  signUp,
  signUpDriver,
  signUpRider,
} from '@testing/people.ts';
import { connectRealtime } from '@testing/realtime.ts';
import { type RunningSystem, startSystem } from '@testing/topologies.ts';
import { until } from '@testing/until.ts';

const pickup = { lat: 10.7769, lng: 106.7009 };
const dropoff = { lat: 10.8231, lng: 106.6297 };
const unknownId = '01a20438-5328-7000-be00-93adcfa25034';
const startTimeoutMs = 60_000;

describe.each(['one process, embedded adapters', 'fleet'] as const)('bad input, %s', (name) => {
  let system: RunningSystem;
  let rider: PersonClient;
  beforeAll(async () => {
    system = await startSystem(name, { OFFER_TIMEOUT_SECONDS: '2' });
    rider = await signUpRider(system.url);
  }, startTimeoutMs);
  afterAll(() => system?.stop(), startTimeoutMs);

  const quote = async (person: PersonClient) =>
    (
      await expectStatus(
        201,
        person.request<Quote>('POST', '/v1/quotes', { body: { pickup, dropoff, product: 'car' } }),
      )
    ).body.id;
  const trips = async () => Number((await system.sql`select count(*) as n from trip.trips`)[0]?.n);

  test.each([
    ['malformed JSON', { text: '{"pickup":' }, 400, 'request.malformed'],
    ['an array as the body', { text: '[1,2]' }, 400, 'request.invalid'],
    ['an unknown product', { body: { pickup, dropoff, product: 'rocket' } }, 400, 'request.invalid'],
    [
      'an unknown currency',
      { body: { pickup, dropoff, product: 'car', currency: 'XTS' } },
      400,
      'request.invalid',
    ],
    [
      'a wrong type',
      { body: { pickup: { lat: '10', lng: 106 }, dropoff, product: 'car' } },
      400,
      'request.invalid',
    ],
    [
      'swapped coordinates',
      { body: { pickup: { lat: 106.7, lng: 10.7 }, dropoff, product: 'car' } },
      400,
      'request.invalid',
    ],
    ['an unknown field', { body: { pickup, dropoff, product: 'car', fare: 1 } }, 400, 'request.invalid'],
    [
      'the same place twice',
      { body: { pickup, dropoff: pickup, product: 'car' } },
      400,
      'quote.distance_invalid',
    ],
    ['a huge body', { text: `{"x":"${'y'.repeat(70_000)}"}` }, 413, 'request.too_large'],
    [
      'an idempotency key that is too long',
      { body: { pickup, dropoff, product: 'car' }, idempotencyKey: 'k'.repeat(201) },
      400,
      'idempotency.key_invalid',
    ],
  ])('a quote with %s is rejected with its code', async (_, options, status, code) => {
    const answer = await rider.request('POST', '/v1/quotes', options);
    expect([answer.status, answer.code]).toEqual([status, code]);
  });

  test('a body of exactly 64 KB is accepted and a larger one rejected, with and without a content-length', async () => {
    const padded = (bytes: number) => JSON.stringify({ pickup, dropoff, product: 'car' }).padEnd(bytes, ' ');
    const inChunks = (text: string) => new Blob([text]).stream();
    const post = async (body: string | ReadableStream) => {
      const headers = {
        'content-type': 'application/json',
        authorization: `Bearer ${rider.session.tokens.accessToken}`,
      };
      const response = await fetch(`${system.url}/v1/quotes`, { method: 'POST', headers, body });
      return [response.status, ((await response.json()) as { code?: string }).code];
    };
    for (const body of [padded(65_536), inChunks(padded(65_536))])
      expect(await post(body)).toEqual([201, undefined]);
    for (const bytes of [65_537, 131_072, 300_000])
      for (const body of [padded(bytes), inChunks(padded(bytes))])
        expect(await post(body)).toEqual([413, 'request.too_large']);
  });

  test('unsigned, forged and malformed tokens are rejected', async () => {
    const [header = '', payload = '', signature = ''] = rider.session.tokens.accessToken.split('.');
    const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const asOps = Buffer.from(JSON.stringify({ ...claims, role: 'ops' })).toString('base64url');
    for (const token of [
      `${none}.${payload}.`,
      `${header}.${asOps}.${signature}`,
      `${header}.${payload}.`,
      'x.y.z',
      'x'.repeat(10_000),
    ]) {
      const answer = await createApiClient(system.url, token).request('GET', '/v1/users/me');
      expect([answer.status, answer.code]).toEqual([401, 'auth.token_invalid']);
    }
  });

  test('unknown ids and trips of other people answer 404, and nothing changes', async () => {
    const { id } = (
      await expectStatus(
        201,
        rider.request<Trip>('POST', '/v1/trips', { body: { quoteId: await quote(rider) } }),
      )
    ).body;
    const otherRider = await signUp(system.url, 'rider');
    const otherDriver = await signUp(system.url, 'driver');
    expect((await otherRider.request('GET', `/v1/trips/${id}`)).code).toBe('trip.not_found');
    expect((await otherRider.request('GET', `/v1/trips/${id}/history`)).code).toBe('trip.not_found');
    expect((await otherRider.request('POST', `/v1/trips/${id}/cancel`, { body: { reason: 'x' } })).code).toBe(
      'trip.not_found',
    );
    expect((await otherDriver.request('POST', `/v1/trips/${id}/accept`, { body: {} })).code).toBe(
      'trip.not_found',
    );
    expect((await rider.request('GET', `/v1/trips/${unknownId}`)).code).toBe('trip.not_found');
    expect((await rider.request('GET', '/v1/trips/not-an-id')).code).toBe('request.invalid');
    expect((await rider.request('GET', `/v1/payments/${unknownId}`)).code).toBe('payment.not_found');
    expect((await rider.request('GET', `/v1/trips/${id}/receipt`)).code).toBe('receipt.not_found');
    expect((await rider.request('POST', `/v1/trips/${id}/rating`, { body: { stars: 5 } })).code).toBe(
      'trip.wrong_state',
    );
    await expectStatus(
      200,
      rider.request('POST', `/v1/trips/${id}/cancel`, { body: { reason: 'changed my mind' } }),
    );
  });

  test('requests with the same idempotency key create one trip, and another body with that key answers 422', async () => {
    const before = await trips();
    const quoteId = await quote(rider);
    const create = (body: object) =>
      rider.request<Trip>('POST', '/v1/trips', { body, idempotencyKey: 'once' });
    const answers = await Promise.all([create({ quoteId }), create({ quoteId }), create({ quoteId })]);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
    expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1);
    expect(await trips()).toBe(before + 1);
    const other = await create({ quoteId: unknownId });
    expect([other.status, other.code]).toEqual([422, 'idempotency.key_reused']);

    const id = answers[0]?.body.id;
    expect((await rider.request('POST', '/v1/trips', { body: { quoteId: await quote(rider) } })).code).toBe(
      'trip.rider_busy',
    );
    await expectStatus(200, rider.request('POST', `/v1/trips/${id}/cancel`, { body: { reason: 'done' } }));
    expect((await rider.request('POST', '/v1/trips', { body: { quoteId } })).code).toBe('quote.used');
    expect((await create({ quoteId })).body).toEqual(answers[0]?.body as Trip);
    expect(await trips()).toBe(before + 1);
  });

  test('a quote of another rider answers 404', async () => {
    const other = await signUpRider(system.url);
    expect((await other.request('POST', '/v1/trips', { body: { quoteId: await quote(rider) } })).code).toBe(
      'quote.not_found',
    );
  });

  test('accepting twice is one assignment, a late acceptance is rejected, and actions out of order answer 409', async () => {
    const place = { lat: 12.2388, lng: 109.1967 };
    const driver = await signUpDriver(system.url, place);
    const passenger = await signUpRider(system.url);
    const order = async () =>
      (
        await expectStatus(
          201,
          passenger.request<Trip>('POST', '/v1/trips', {
            body: {
              quoteId: (
                await expectStatus(
                  201,
                  passenger.request<Quote>('POST', '/v1/quotes', {
                    body: { pickup: place, dropoff: { lat: 12.25, lng: 109.18 }, product: 'car' },
                  }),
                )
              ).body.id,
            },
          }),
        )
      ).body.id;
    const status = (id: string) =>
      passenger.request<Trip>('GET', `/v1/trips/${id}`).then(({ body }) => body.status);
    const act = (id: string, action: string, body: object = {}) =>
      driver.request<Trip>('POST', `/v1/trips/${id}/${action}`, { body });

    const first = await order();
    await until(async () => (await status(first)) === 'offered');
    const [a, b] = await Promise.all([act(first, 'accept'), act(first, 'accept')]);
    expect([a.status, b.status]).toEqual([200, 200]);
    const history = await passenger.request<{ items: { to: string }[] }>('GET', `/v1/trips/${first}/history`);
    expect(history.body.items.filter(({ to }) => to === 'assigned').length).toBe(1);
    expect((await act(first, 'complete')).code).toBe('trip.wrong_state');
    expect((await act(first, 'start', { code: 'abcd' })).code).toBe('request.invalid');
    expect((await driver.request('PUT', '/v1/drivers/me/status', { body: { status: 'offline' } })).code).toBe(
      'driver.busy',
    );
    await expectStatus(200, act(first, 'cancel', { reason: 'flat tyre' }));
    expect((await act(first, 'arrive')).code).toBe('trip.wrong_state');

    await until(
      async () =>
        (await driver.request<{ status: string }>('GET', '/v1/drivers/me')).body.status === 'available',
    );
    await expectStatus(204, driver.request('PUT', '/v1/drivers/me/location', { body: place }));
    const second = await order();
    await until(async () => (await status(second)) === 'offered');
    await until(async () => (await status(second)) === 'requested', {
      describe: 'the offer to lapse',
      timeoutMs: 10_000,
    });
    const late = await act(second, 'accept');
    expect([late.status >= 400, late.status < 500]).toEqual([true, true]);
    await expectStatus(
      200,
      passenger.request('POST', `/v1/trips/${second}/cancel`, { body: { reason: 'too long' } }),
    );
  });

  test('impossible positions are rejected and not stored', async () => {
    const driver = await signUpDriver(system.url, { lat: 16.4637, lng: 107.5909 });
    const put = (body: object) => driver.request('PUT', '/v1/drivers/me/location', { body });
    expect((await put({ lat: 91, lng: 0 })).code).toBe('request.invalid');
    expect((await put({ lat: 16, lng: 107, driverId: unknownId })).code).toBe('request.invalid');
    expect(
      (await put({ lat: 16, lng: 107, recordedAt: '2001-01-01T00:00:00Z' })).status,
    ).toBeGreaterThanOrEqual(400);
    const batch = await driver.request('POST', '/v1/drivers/me/locations', {
      body: { points: Array.from({ length: 501 }, () => pickup) },
    });
    expect(batch.code).toBe('request.invalid');
    await expectStatus(200, driver.request('PUT', '/v1/drivers/me/status', { body: { status: 'offline' } }));
    expect((await put(pickup)).code).toBe('driver.offline');
  });

  test('invalid frames are answered with their code, and the connection is closed only after too many', async () => {
    const place = { lat: 15.1205, lng: 108.7923 };
    const driver = await signUpDriver(system.url, place);
    const live = await connectRealtime(system.url, driver);
    const codes = () => live.frames.flatMap((frame) => (frame.type === 'error' ? [frame.code] : []));
    const refused: [frame: object | string, code: string][] = [
      ['{"type":"location","lat":NaN,"lng":1}', 'realtime.frame_malformed'],
      [`{"type":"location","lat":${'['.repeat(7_000)}${']'.repeat(7_000)}}`, 'realtime.frame_invalid'],
      [{ type: 'location', lat: place.lng, lng: place.lat }, 'realtime.frame_invalid'],
      [{ type: 'location', ...place, driverId: unknownId }, 'realtime.frame_invalid'],
      [{ type: 'locations', points: [] }, 'realtime.frame_invalid'],
      [{ type: 'locations', points: Array(501).fill({ lat: 1, lng: 1 }) }, 'realtime.frame_invalid'],
      [{ type: 'location', ...place, recordedAt: '2001-01-01T00:00:00Z' }, 'position.stale'],
      [{ type: 'location', ...place, recordedAt: '2101-01-01T00:00:00Z' }, 'position.future'],
    ];
    for (const [place, [frame, code]] of refused.entries()) {
      live.send(frame);
      await until(() => codes().length > place, { describe: `a refusal with ${code}` });
      expect(codes()[place]).toBe(code);
    }
    const moved = { lat: 15.13, lng: place.lng };
    const seenAt = async () => {
      const nearby = `/v1/drivers/nearby?lat=${place.lat}&lng=${place.lng}`;
      return (await driver.request<NearbyDrivers>('GET', nearby)).body.drivers.map(
        ({ position }) => position.lat,
      );
    };
    expect(await seenAt()).toEqual([15.1205]);
    live.send({ type: 'location', ...moved });
    await until(async () => (await seenAt())[0] === moved.lat, { describe: 'the good position' });
    for (let n = 0; n < 40; n++) live.send('nonsense');
    expect(await live.closed).toBe(1008);
  });
});
