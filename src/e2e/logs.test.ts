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

// More digits than any number that is logged for another reason has in common with them.
const pickup = { lat: 10.7769137, lng: 106.7009248 };
const dropoff = { lat: 10.8231359, lng: 106.6297461 };
const driverAt = { lat: 10.7781473, lng: 106.7021592 };
// To four decimals a place is known to some 11 m: what is longer than that must not be there.
const decimalsKept = 4;

const wrongPassword = 'not the right horse';
const wrongTicket = 'a-ticket-that-nobody-gave';
const cardToken = 'tok_visa';
const startTimeoutMs = 60_000;
const testTimeoutMs = 60_000;

describe.each(['one process, embedded adapters', 'fleet'] as const)('%s', (name) => {
  let system: RunningSystem;
  beforeAll(async () => {
    // Everything that a log can be made to say: every request, and every statement as a slow one.
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
      const ticket = await refusals(system.url, rider);

      // What is looked for below would be found: the ride's requests and statements are there.
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
        ...places({ pickup, dropoff, driverAt }),
      };
      delete secrets.OPS_EMAIL;
      const found = Object.entries(secrets).filter(([, secret]) => written.includes(String(secret)));
      expect(found.map(([what]) => what)).toEqual([]);
    },
    testTimeoutMs,
  );
});

/** From the quote to the rating, with positions on the way over REST and the live connection. */
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

/** The same secrets where they don't belong: what is refused must not be told either. Gives a ticket that was used. */
async function refusals(url: string, rider: PersonClient): Promise<string> {
  const { body } = await expectStatus(201, rider.request<Ticket>('POST', '/v1/realtime/ticket'));
  const { accessToken } = rider.session.tokens;
  const anyone = createApiClient(url);
  const asked = [
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
  for (const answer of await Promise.all(asked)) expect(answer.status).toBeGreaterThanOrEqual(400);
  return body.ticket;
}

/** The signatures of access tokens, so that a part of one is found as well. */
const tokensOf = (name: string, { session: { tokens } }: PersonClient) => ({
  [`${name}.accessToken`]: tokens.accessToken.split('.')[2] ?? tokens.accessToken,
  [`${name}.refreshToken`]: tokens.refreshToken,
});

function places(given: Record<string, { lat: number; lng: number }>): Record<string, string> {
  const written = (value: number) => String(value).slice(0, String(value).indexOf('.') + decimalsKept + 2);
  return Object.fromEntries(
    Object.entries(given).flatMap(([name, { lat, lng }]) => [
      [`${name}.lat`, written(lat)],
      [`${name}.lng`, written(lng)],
    ]),
  );
}
