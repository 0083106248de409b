import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test';
import type { Earnings, PaymentMethod, Quote, Receipt } from '@contracts/payments.ts';
import type { Trip, TripHistoryEntry } from '@contracts/trips.ts';
import { type ApiClient, createApiClient, expectStatus, signUpDriver, signUpRider } from '@testing/people.ts';
import { type PrivatePostgres, startPrivatePostgres } from '@testing/private-servers.ts';
import { connectRealtime } from '@testing/realtime.ts';
import { type RunningSystem, startSystem } from '@testing/topologies.ts';
import { until } from '@testing/until.ts';
import postgres from 'postgres';

// Runs the whole system on its own primary and replica, whose replay is paused and resumed.

const pickup = { lat: 10.7769, lng: 106.7009 };
const dropoff = { lat: 10.8231, lng: 106.6297 };
const startTimeoutMs = 60_000;
const tokenHeader = 'x-session-token';

let servers: PrivatePostgres;
let system: RunningSystem;
let replay: postgres.Sql;
beforeAll(async () => {
  servers = await startPrivatePostgres({ replica: true });
  const replicaUrl = servers.replica?.url ?? '';
  replay = postgres(replicaUrl, { max: 1, onnotice: () => undefined });
  system = await startSystem('one process, embedded adapters', {
    DATABASE_URL: servers.primary.url,
    DATABASE_REPLICA_URL: replicaUrl,
  });
}, startTimeoutMs);
afterAll(async () => {
  await system?.stop();
  await replay?.end({ timeout: 1 });
  await servers?.stop();
}, startTimeoutMs);

const pause = () => replay`select pg_wal_replay_pause()`;
const resume = () => replay`select pg_wal_replay_resume()`;

afterEach(async () => {
  await resume();
});

async function readsAtReplica(context: string): Promise<number> {
  const text = await (await fetch(`${system.url}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(`database_reads_total{context="${context}",source="replica"`))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** A client that sends back the latest read consistency token. */
function keepingToken(client: ApiClient): ApiClient & { token: string | undefined } {
  const tracking: ApiClient & { token: string | undefined } = {
    token: undefined,
    async request<Body>(method: string, path: string, options: Parameters<ApiClient['request']>[2] = {}) {
      const headers = { ...options.headers, ...(tracking.token && { [tokenHeader]: tracking.token }) };
      const answer = await client.request<Body>(method, path, { ...options, headers });
      tracking.token = answer.headers.get(tokenHeader) ?? tracking.token;
      return answer;
    },
  };
  return tracking;
}

const cases: [string, 'follows' | 'is paused', (client: ApiClient) => ApiClient][] = [
  ['without a token', 'follows', (client) => client],
  ['without a token', 'is paused', (client) => client],
  ['with a session token', 'follows', keepingToken],
  ['with a session token', 'is paused', keepingToken],
];
let places = 0;

test.each(cases)(
  'a client %s finds its latest writes in every list while the replica %s',
  async (_, replica, as) => {
    const { url } = system;
    // Far from the drivers of the other cases.
    const pickup = { lat: 10.7769 + 0.5 * ++places, lng: 106.7009 };
    const dropoff = { lat: pickup.lat + 0.05, lng: 106.6297 };
    const person = await signUpRider(url);
    const driverPerson = await signUpDriver(url, pickup);
    const [rider, driver] = [as(person), as(driverPerson)];
    const riderLive = await connectRealtime(url, person);
    const driverLive = await connectRealtime(url, driverPerson);
    if (replica === 'is paused') await pause();

    const card = { body: { kind: 'card', token: 'tok_visa' } };
    const added = await expectStatus(201, rider.request<PaymentMethod>('POST', '/v1/payment-methods', card));
    const cards = await rider.request<{ items: PaymentMethod[] }>('GET', '/v1/payment-methods');
    expect(cards.body.items[0]?.id).toBe(added.body.id);

    const quoteRequest = { body: { pickup, dropoff, product: 'car' } };
    const quote = (await expectStatus(201, rider.request<Quote>('POST', '/v1/quotes', quoteRequest))).body;
    const creating = rider.request<Trip>('POST', '/v1/trips', { body: { quoteId: quote.id } });
    const { id, startCode } = (await expectStatus(201, creating)).body;
    expect((await rider.request<{ items: Trip[] }>('GET', '/v1/trips')).body.items[0]?.id).toBe(id);

    await driverLive.waitForEvent('trip.offered');
    for (const step of ['accept', 'arrive', 'start', 'complete']) {
      const body = step === 'start' ? { code: startCode } : {};
      const done = await expectStatus(200, driver.request<Trip>('POST', `/v1/trips/${id}/${step}`, { body }));
      const path = `/v1/trips/${id}/history`;
      const history = (await driver.request<{ items: TripHistoryEntry[] }>('GET', path)).body.items;
      expect(history.at(-1)?.to).toBe(done.body.status);
      const [newest] = (await driver.request<{ items: Trip[] }>('GET', '/v1/trips')).body.items;
      expect(newest?.status).toBe(done.body.status);
    }

    await riderLive.waitForEvent('payment.captured');
    // Another person wrote this: without a token it is visible once its event arrives, with one it may be
    // delayed.
    const isThere = async () => {
      const receipt = await rider.request<Receipt>('GET', `/v1/trips/${id}/receipt`);
      const earnings = await driver.request<Earnings>('GET', '/v1/drivers/me/earnings');
      return receipt.body.status === 'captured' && earnings.body.items?.[0]?.tripId === id;
    };
    if (rider === person) expect(await isThere()).toBe(true);
    else await until(isThere);
    riderLive.close();
    driverLive.close();
  },
  30_000,
);

test('reads go to the replica again once it follows', async () => {
  const rider = await signUpRider(system.url);
  for (const [context, path] of [
    ['trip', '/v1/trips'],
    ['payment', '/v1/payment-methods'],
  ] as const) {
    const before = await readsAtReplica(context);
    await until(async () => {
      await expectStatus(200, rider.request('GET', path));
      return (await readsAtReplica(context)) > before;
    });
  }
});

test('responses to writes carry a short token, and reads return one only to clients that sent one', async () => {
  const rider = await signUpRider(system.url);
  const card = { kind: 'card', token: 'tok_visa' };
  const written = await expectStatus(201, rider.request('POST', '/v1/payment-methods', { body: card }));
  const token = written.headers.get(tokenHeader) ?? '';
  expect(token).toMatch(/^[\w.-]{8,256}$/);
  expect((await rider.request('GET', '/v1/trips')).headers.get(tokenHeader)).toBeNull();
  for (const path of ['/v1/trips', '/v1/payment-methods']) {
    const answer = await expectStatus(200, rider.request('GET', path, { headers: { [tokenHeader]: token } }));
    expect(answer.headers.get(tokenHeader)).toMatch(/^[\w.-]{8,256}$/);
  }
  const quoteRequest = { pickup, dropoff, product: 'car' };
  const quote = await expectStatus(201, rider.request<Quote>('POST', '/v1/quotes', { body: quoteRequest }));
  const created = rider.request('POST', '/v1/trips', { body: { quoteId: quote.body.id } });
  expect((await expectStatus(201, created)).headers.get(tokenHeader)).not.toBeNull();
});

test.each(['', 'nonsense', 'x'.repeat(5_000), '1.trip-zzzzzzzzzzz', '1.trip-0.payment-0'])(
  'an invalid token (%#) is ignored',
  async (token) => {
    const rider = await signUpRider(system.url);
    const answer = await rider.request<{ items: PaymentMethod[] }>('GET', '/v1/payment-methods', {
      headers: { [tokenHeader]: token },
    });
    expect([answer.status, answer.body.items.length]).toEqual([200, 1]);
  },
);

test('an unauthenticated client gets no token', async () => {
  const answer = await createApiClient(system.url).request('POST', '/v1/trips', { body: {} });
  expect([answer.status, answer.headers.get(tokenHeader)]).toEqual([401, null]);
});
