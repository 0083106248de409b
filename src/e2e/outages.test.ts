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
import { startPrivatePostgres, startPrivateRabbitmq, startPrivateRedis } from '@testing/private-servers.ts';
import { type RunningSystem, startSystem } from '@testing/topologies.ts';
import { until } from '@testing/until.ts';
import type { RunningServer } from '../tools/servers/index.ts';

setDefaultTimeout(60_000);

const pickup = { lat: 10.7769, lng: 106.7009 };
const dropoff = { lat: 10.8231, lng: 106.6297 };
/** The request timeout in these tests, whatever hangs. */
const requestTimeoutMs = 2_500;

describe('while a server is down, requests that need it answer 503 with Retry-After, and work again once it is back:', () => {
  let servers: Record<'postgres' | 'geoRedis' | 'cacheRedis' | 'rabbitmq', RunningServer>;
  let system: RunningSystem;
  let rider: PersonClient;
  let driver: PersonClient;

  beforeAll(async () => {
    const [postgres, geoRedis, cacheRedis, rabbitmq] = await Promise.all([
      startPrivatePostgres(),
      startPrivateRedis('geo'),
      startPrivateRedis('cache'),
      startPrivateRabbitmq(),
    ]);
    servers = { postgres: postgres.primary, geoRedis, cacheRedis, rabbitmq };
    system = await startSystem('one process, real adapters', {
      DATABASE_URL: servers.postgres.url,
      DATABASE_REPLICA_URL: servers.postgres.url,
      GEO_REDIS_URL: servers.geoRedis.url,
      CACHE_REDIS_URL: servers.cacheRedis.url,
      AMQP_URL: servers.rabbitmq.url,
      REQUEST_TIMEOUT_MS: String(requestTimeoutMs),
      LOG_LEVEL: 'silent',
    });
    rider = await signUpRider(system.url);
    driver = await signUpDriver(system.url, pickup);
  });
  afterAll(async () => {
    await system?.stop();
    await Promise.all(Object.values(servers ?? {}).map((server) => server.stop()));
  });

  const quote = () =>
    rider.request<Quote>('POST', '/v1/quotes', { body: { pickup, dropoff, product: 'car' } });
  const locate = () => driver.request('PUT', '/v1/drivers/me/location', { body: pickup });
  const ready = () => fetch(`${system.url}/readyz`).then(({ status }) => status);

  /** Expects a timely 503 with Retry-After that discloses nothing internal. */
  async function expectUnavailable(ask: () => Promise<ApiResponse>) {
    const began = performance.now();
    const answer = await ask();
    expect(performance.now() - began).toBeLessThan(requestTimeoutMs + 5_000);
    expect([answer.status, Number(answer.headers.get('retry-after')) >= 1]).toEqual([503, true]);
    expect(JSON.stringify(answer.body)).not.toMatch(/127\.0\.0\.1|ECONN|postgres|redis|at .*\.ts/i);
  }
  const waitForStatus = (ask: () => Promise<ApiResponse>, status: number) =>
    until(async () => (await ask()).status === status, {
      describe: `an answer with ${status}`,
      timeoutMs: 20_000,
    });

  test('PostgreSQL is killed', async () => {
    await servers.postgres.kill('SIGKILL');
    await expectUnavailable(quote);
    await expectUnavailable(() => rider.request('GET', '/v1/trips'));
    await expectUnavailable(() => rider.request('GET', '/v1/users/me'));
    expect(await ready()).toBe(503);
    expect((await fetch(`${system.url}/healthz`)).status).toBe(200);
    await servers.postgres.restart();
    await waitForStatus(quote, 201);
    await until(async () => (await ready()) === 200, {
      describe: 'the process to be ready',
      timeoutMs: 20_000,
    });
  });

  test('PostgreSQL is frozen', async () => {
    await servers.postgres.kill('SIGSTOP');
    await expectUnavailable(quote);
    await expectUnavailable(() => rider.request('GET', '/v1/trips'));
    await servers.postgres.kill('SIGCONT');
    await waitForStatus(quote, 201);
  });

  test('the Redis for positions is killed, and quotes still work', async () => {
    await servers.geoRedis.kill('SIGKILL');
    await expectUnavailable(locate);
    await expectUnavailable(() => rider.request('POST', '/v1/realtime/ticket'));
    await expectStatus(201, quote());
    await servers.geoRedis.restart();
    // The index is empty after the restart; the next position adds the driver again.
    await waitForStatus(locate, 204);
    await waitForStatus(() => rider.request('POST', '/v1/realtime/ticket'), 201);
    await until(
      async () => {
        await locate();
        const { body } = await rider.request<{ drivers: unknown[] }>(
          'GET',
          `/v1/drivers/nearby?lat=${pickup.lat}&lng=${pickup.lng}`,
        );
        return body.drivers.length === 1;
      },
      { describe: 'the driver to be nearby', timeoutMs: 20_000 },
    );
  });

  test('the Redis for caches is killed, and every request still works', async () => {
    await servers.cacheRedis.kill('SIGKILL');
    await expectStatus(201, quote());
    await expectStatus(200, rider.request('GET', '/v1/trips'));
    await servers.cacheRedis.restart();
  });

  test('RabbitMQ is killed, and trips are created and dispatched once it is back', async () => {
    await servers.rabbitmq.kill('SIGKILL');
    const { body } = await expectStatus(201, quote());
    const trip = await expectStatus(
      201,
      rider.request<Trip>('POST', '/v1/trips', { body: { quoteId: body.id } }),
    );
    await servers.rabbitmq.restart();
    await until(
      async () => {
        await locate();
        return (
          (await driver.request<Trip>('POST', `/v1/trips/${trip.body.id}/accept`, { body: {} })).status ===
          200
        );
      },
      { describe: 'the driver to get and accept the offer', timeoutMs: 40_000 },
    );
    await until(
      async () =>
        (await driver.request<{ status: string }>('GET', '/v1/drivers/me')).body.status === 'on_trip',
      {
        describe: 'the event of the assignment to arrive',
        timeoutMs: 40_000,
      },
    );
  });
});
