import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import type { Quote } from '@contracts/payments.ts';
import type { Trip } from '@contracts/trips.ts';
import {
  type ApiResponse,
  expectStatus,
  type PersonClient,
  signUpDriver,
  signUpRider,
} from '@testing/people.ts';
import { connectRealtime, isGapless } from '@testing/realtime.ts';
import { demoteToReplica, promoteToPrimary, type RedisPair, startRedisPair } from '@testing/redis-pair.ts';
import { type RunningSystem, startSystem } from '@testing/topologies.ts';
import { until } from '@testing/until.ts';

setDefaultTimeout(60_000);

const pickup = { lat: 10.7769, lng: 106.7009 };
const dropoff = { lat: 10.8231, lng: 106.6297 };
/** The system works normally within this time after a failover, without a restart. */
const recoveryMsMax = 10_000;

describe('while a Redis rejects writes, requests answer 503 with Retry-After and never 500, and recover with it:', () => {
  let geo: RedisPair;
  let cache: RedisPair;
  let system: RunningSystem;
  let rider: PersonClient;
  let driver: PersonClient;

  beforeAll(async () => {
    [geo, cache] = await Promise.all([startRedisPair('geo'), startRedisPair('cache')]);
    system = await startSystem('one process, real adapters', {
      GEO_REDIS_URL: geo.url,
      CACHE_REDIS_URL: cache.url,
      INBOX_CHECK_SECONDS: '1',
      LIMIT_POSITION_PER_MINUTE: '100000',
      LIMIT_READ_PER_MINUTE: '100000',
      LIMIT_WRITE_PER_MINUTE: '100000',
      LOG_LEVEL: 'silent',
    });
    rider = await signUpRider(system.url);
    driver = await signUpDriver(system.url, pickup);
  });
  afterAll(async () => {
    await system?.stop();
    await Promise.all([geo?.stop(), cache?.stop()]);
  });

  const locate = () => driver.request('PUT', '/v1/drivers/me/location', { body: pickup });
  const ticket = () => rider.request('POST', '/v1/realtime/ticket');
  const quote = () =>
    rider.request<Quote>('POST', '/v1/quotes', { body: { pickup, dropoff, product: 'car' } });
  const nearby = () =>
    rider.request<{ drivers: unknown[] }>('GET', `/v1/drivers/nearby?lat=${pickup.lat}&lng=${pickup.lng}`);
  const ready = () => fetch(`${system.url}/readyz`).then(({ status }) => status);

  /** Repeats the request until it succeeds. Every other answer must be a 503 with Retry-After. */
  async function waitForStatus(ask: () => Promise<ApiResponse>, status: number): Promise<void> {
    await until(
      async () => {
        const answer = await ask();
        if (answer.status !== status) expectUnavailable(answer);
        return answer.status === status;
      },
      { describe: `an answer with ${status}`, timeoutMs: recoveryMsMax },
    );
  }

  function expectUnavailable({ status, headers, code }: ApiResponse): void {
    expect([status, code, Number(headers.get('retry-after')) >= 1]).toEqual([
      503,
      'service.unavailable',
      true,
    ]);
  }

  async function expectWritesRejected(): Promise<void> {
    await until(async () => (await ready()) === 503, { describe: 'the process not to be ready' });
    for (const ask of [locate, ticket]) for (let n = 0; n < 5; n++) expectUnavailable(await ask());
    // Limits and caches are in another Redis.
    await expectStatus(201, quote());
  }

  async function waitUntilServing(): Promise<void> {
    await Promise.all([waitForStatus(locate, 204), waitForStatus(ticket, 201), waitForStatus(quote, 201)]);
    await until(async () => (await ready()) === 200, {
      describe: 'the process to be ready',
      timeoutMs: recoveryMsMax,
    });
    await until(async () => (await locate()).status === 204 && (await nearby()).body.drivers.length === 1, {
      describe: 'the driver to be nearby',
      timeoutMs: recoveryMsMax,
    });
  }

  /** Runs a trip from request to cancellation, and expects its events on the live connection of the rider. */
  async function expectTripEventsDelivered(): Promise<void> {
    const live = await connectRealtime(system.url, rider);
    const { body } = await expectStatus(201, quote());
    const trip = await expectStatus(
      201,
      rider.request<Trip>('POST', '/v1/trips', { body: { quoteId: body.id } }),
    );
    const accept = () => driver.request('POST', `/v1/trips/${trip.body.id}/accept`, { body: {} });
    await until(async () => (await locate()).status === 204 && (await accept()).status === 200, {
      describe: 'the driver to get and accept the offer',
      timeoutMs: recoveryMsMax,
    });
    await live.waitForEvent('trip.assigned', recoveryMsMax);
    await expectStatus(
      200,
      rider.request('POST', `/v1/trips/${trip.body.id}/cancel`, { body: { reason: 'a test' } }),
    );
    await live.waitForEvent('trip.cancelled', recoveryMsMax);
    const events = live.events();
    expect(isGapless(events, (events[0]?.seq ?? 0) - 1)).toBe(true);
    live.close();
    await until(
      async () =>
        (await driver.request<{ status: string }>('GET', '/v1/drivers/me')).body.status === 'available',
      { describe: 'the driver to be free', timeoutMs: recoveryMsMax },
    );
  }

  test('before any fault', async () => {
    await waitUntilServing();
    await expectTripEventsDelivered();
  });

  test('after a demotion and a promotion', async () => {
    await demoteToReplica(geo.first);
    await expectWritesRejected();
    await promoteToPrimary(geo.first);
    await waitUntilServing();
    await expectTripEventsDelivered();
  });

  test('after it was full', async () => {
    await geo.first.redis.config('SET', 'maxmemory', '1');
    await expectWritesRejected();
    await geo.first.redis.config('SET', 'maxmemory', '0');
    await waitUntilServing();
  });

  test('after it lacked replicas', async () => {
    await geo.first.redis.config('SET', 'min-replicas-to-write', '3');
    await expectWritesRejected();
    await geo.first.redis.config('SET', 'min-replicas-to-write', '0');
    await waitUntilServing();
  });

  test('after a failover behind its address, which positions, tickets, inboxes and live connections follow', async () => {
    const live = await connectRealtime(system.url, rider);
    await geo.failOver();
    await waitUntilServing();
    await expectTripEventsDelivered();
    // A client that stayed connected received the event, too.
    await live.waitForEvent('trip.cancelled', recoveryMsMax);
    live.close();
  });

  test('a demotion and failover of the Redis for caches and limits makes no request fail', async () => {
    await demoteToReplica(cache.first);
    for (let n = 0; n < 5; n++) await expectStatus(201, quote());
    await expectStatus(204, locate());
    expect(await ready()).toBe(200);
    await promoteToPrimary(cache.first);
    await cache.failOver();
    for (let n = 0; n < 5; n++) await expectStatus(201, quote());
    const written = async () => {
      await expectStatus(201, quote());
      return (await cache.second.redis.dbsize()) > 0;
    };
    await until(written, { describe: 'a quote in the new cache', timeoutMs: recoveryMsMax });
  });
});
