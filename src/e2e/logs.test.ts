import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Quote } from '@contracts/payments.ts';
import type { Ticket } from '@contracts/realtime.ts';
import type { Trip } from '@contracts/trips.ts';
import {
  createApiClient,
  expectStatus,
  type PersonClient,
  password,
  signUpDriver,
  signUpRider,
} from '@testing/people.ts';
import { connectRealtime } from '@testing/realtime.ts';
import { opsPassword, type RunningSystem, startSystem } from '@testing/topologies.ts';
import { until } from '@testing/until.ts';

// More digits than any other logged number could share with them.
const pickup = { lat: 10.7769137, lng: 106.7009248 };
const dropoff = { lat: 10.8231359, lng: 106.6297461 };
const driverAt = { lat: 10.7781473, lng: 106.7021592 };
// Four decimals locate a point to about 11 m; more must not be logged.
const decimalsKept = 4;

const wrongPassword = 'not the right horse';
const wrongTicket = 'a-ticket-that-was-never-issued';
const cardToken = 'tok_visa';
const startTimeoutMs = 60_000;
const testTimeoutMs = 60_000;

describe.each(['one process, embedded adapters', 'fleet'] as const)('%s', (name) => {
  let system: RunningSystem;
  beforeAll(async () => {
    // The most verbose log: every request, and every statement as a slow one.
    system = await startSystem(name, { LOG_LEVEL: 'debug', SLOW_QUERY_MS: '1' }, 'apart');
  }, startTimeoutMs);
  afterAll(() => system?.stop(), startTimeoutMs);

  const logs = () =>
    readdirSync(join(system.dir, 'logs'))
      .map((file) => readFileSync(join(system.dir, 'logs', file), 'utf8'))
      .join('');

  test(
    'a ride at LOG_LEVEL=debug leaves no token, password or precise position in any log',
    async () => {
      const rider = await signUpRider(system.url, cardToken);
      const driver = await signUpDriver(system.url, driverAt);
      const id = await ride(system.url, rider, driver);
      const ticket = await sendRejectedRequests(system.url, rider);

      // The search below would find secrets: the requests and statements of the ride are in the log.
      const written = await until(
        () => {
          const text = logs();
          return text.includes(`/v1/trips/${id}/complete`) && text.includes('slow') ? text : undefined;
        },
        { describe: 'the access log of the ride' },
      );
      const secrets = {
        ...JSON.parse(readFileSync(join(system.dir, 'secrets.json'), 'utf8')),
        opsPassword,
        password,
        wrongPassword,
        wrongTicket,
        cardToken,
        ticket,
        ...tokensOf('rider', rider),
        ...tokensOf('driver', driver),
        ...coordinatePrefixes({ pickup, dropoff, driverAt }),
      };
      delete secrets.OPS_EMAIL;
      const found = Object.entries(secrets).filter(([, secret]) => written.includes(String(secret)));
      expect(found.map(([name]) => name)).toEqual([]);
    },
    testTimeoutMs,
  );
});

/** Runs a ride from the quote to its completion, with positions over REST and the live connection. */
async function ride(url: string, rider: PersonClient, driver: PersonClient): Promise<string> {
  const live = await connectRealtime(url, driver);
  const body = { pickup, dropoff, product: 'car' };
  const quote = await expectStatus(201, rider.request<Quote>('POST', '/v1/quotes', { body }));
  const trip = await expectStatus(
    201,
    rider.request<Trip>('POST', '/v1/trips', { body: { quoteId: quote.body.id } }),
  );
  const { id, startCode } = trip.body;
  await live.waitForEvent('trip.offered');
  for (const [action, sent] of [
    ['accept', {}],
    ['arrive', {}],
    ['start', { code: startCode }],
    ['complete', {}],
  ] as const) {
    await expectStatus(200, driver.request('POST', `/v1/trips/${id}/${action}`, { body: sent }));
    live.send({ type: 'location', ...driverAt });
  }
  const points = [driverAt, driverAt];
  await driver.request('POST', '/v1/drivers/me/locations', { body: { points } });
  await expectStatus(
    200,
    rider.request('GET', `/v1/drivers/nearby?lat=${pickup.lat}&lng=${pickup.lng}&product=car`),
  );
  live.close();
  return id;
}

/**
 * Sends the secrets in requests that are rejected, which must not be logged either. Returns a used ticket.
 */
async function sendRejectedRequests(url: string, rider: PersonClient): Promise<string> {
  const { body } = await expectStatus(201, rider.request<Ticket>('POST', '/v1/realtime/ticket'));
  const { accessToken } = rider.session.tokens;
  const anyone = createApiClient(url);
  const rejectedRequests = [
    rider.request('POST', '/v1/quotes', { text: `{"pickup":{"lat":${pickup.lat},"lng":${pickup.lng}` }),
    rider.request('POST', '/v1/quotes', { body: { pickup, dropoff, product: wrongPassword } }),
    rider.request('GET', `/v1/drivers/nearby?lat=${pickup.lat}&lng=x${pickup.lng}`),
    anyone.request('POST', '/v1/auth/login', { body: { email: rider.email, password: wrongPassword } }),
    anyone.request('POST', '/v1/auth/login', { body: { email: wrongPassword, password } }),
    anyone.request('POST', '/v1/auth/refresh', { body: { refreshToken: accessToken.slice(0, 200) } }),
    createApiClient(url, `${accessToken}x`).request('GET', '/v1/users/me'),
    anyone.request('GET', `/v1/realtime?ticket=${wrongTicket}`),
    anyone.request('GET', `/v1/realtime?ticket=${encodeURIComponent(body.ticket)}`),
  ];
  for (const answer of await Promise.all(rejectedRequests)) expect(answer.status).toBeGreaterThanOrEqual(400);
  return body.ticket;
}

/** The signatures of access tokens, so that a part of a token is found as well. */
const tokensOf = (name: string, { session: { tokens } }: PersonClient) => ({
  [`${name}.accessToken`]: tokens.accessToken.split('.')[2] ?? tokens.accessToken,
  [`${name}.refreshToken`]: tokens.refreshToken,
});

function coordinatePrefixes(points: Record<string, { lat: number; lng: number }>): Record<string, string> {
  const prefixOf = (value: number) => String(value).slice(0, String(value).indexOf('.') + decimalsKept + 2);
  return Object.fromEntries(
    Object.entries(points).flatMap(([name, { lat, lng }]) => [
      [`${name}.lat`, prefixOf(lat)],
      [`${name}.lng`, prefixOf(lng)],
    ]),
  );
}
