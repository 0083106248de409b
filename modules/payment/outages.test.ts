import { expect, test } from 'bun:test';
import { Quote, QuoteForTrip } from '@contracts/payments.ts';
import { findChargeViolations } from '@invariants/payments.ts';
import { createRedisCache } from '@platform/cache/redis.ts';
import { systemClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { connectRedis, waitForRedis } from '@platform/redis/connection.ts';
import { testRedisNamespace } from '@testing/redis.ts';
import { serviceAuthHeaders } from '@testing/service-auth.ts';
import { until } from '@testing/until.ts';
import { createTcpProxy } from '../../src/tools/faults/tcp-proxy.ts';
import {
  advanceUntil,
  createRiderWithCard,
  createTripCompletedEvent,
  type TripCompletedEvent,
} from './testing/harness.ts';
import { useTestPayment } from './testing/setup.ts';

const payment = useTestPayment();

const ride = {
  pickup: { lat: 10.7769, lng: 106.7009 },
  dropoff: { lat: 10.8231, lng: 106.6297 },
  product: 'car',
};

test('repeated PostgreSQL disconnects delay charges, and neither lose nor duplicate one', async () => {
  const proxy = await createTcpProxy(payment.databaseUrl);
  const service = payment.createInstance({ databaseUrl: proxy.rewriteUrl(payment.databaseUrl) });
  await service.start();
  const events: TripCompletedEvent[] = [];
  for (let n = 0; n < 20; n++) {
    const { riderId, paymentMethodId } = await createRiderWithCard(
      payment,
      service,
      n % 2 === 0 ? 'tok_visa' : 'tok_timeout',
    );
    events.push(createTripCompletedEvent(payment, { riderId, paymentMethodId }));
  }
  const tripIds = events.map(({ data }) => data.tripId);
  for (const [index, event] of events.entries()) {
    await payment.bus.publish([event]);
    if (index % 5 === 4) proxy.closeConnections();
  }
  proxy.refuseConnections();
  await payment.clock.advance(10_000);
  proxy.resume();
  await advanceUntil(
    payment.clock,
    async () => (await findChargeViolations(payment.sql, tripIds)).length === 0,
    'every trip to be charged',
  );
  expect(await payment.sql`select from payments where status <> 'captured'`).toHaveLength(0);
  await advanceUntil(
    payment.clock,
    async () => new Set(payment.publishedEvents.map(({ subject }) => subject)).size === 20,
    'the events',
  );
  expect((await service.send('GET', '/readyz')).status).toBe(200);
  await service.stop();
  await proxy.close();
}, 20_000);

test('a Redis that hangs delays quotes only briefly, and is used again when it answers', async () => {
  const { cacheUrl, prefix } = testRedisNamespace();
  const proxy = await createTcpProxy(cacheUrl);
  const log = createLog('silent');
  const redis = connectRedis(proxy.rewriteUrl(cacheUrl), 'cache', log);
  await waitForRedis(redis, 5_000);
  const cache = createRedisCache({ redis, clock: systemClock, log, metrics: createMetrics(), prefix });
  const service = payment.createInstance({ cache });
  const { riderId, bearer } = await createRiderWithCard(payment, service);
  const quote = async () =>
    (await service.send('POST', '/v1/quotes', { body: ride, headers: bearer })).as(Quote);
  const find = async ({ id }: Quote) =>
    (
      await service.send('GET', `/internal/payment/quotes/${id}?riderId=${riderId}`, {
        headers: serviceAuthHeaders('payment', payment.clock),
      })
    ).as(QuoteForTrip).quote;

  const before = await quote();
  proxy.pause();
  const during = await quote();
  expect(await find(during)).toEqual(during);
  expect(await find(before)).toEqual(before);
  proxy.resume();
  const after = await until(async () => {
    const made = await quote();
    await payment.sql`delete from quotes where id = ${made.id}`;
    return find(made);
  });
  expect(after.riderId).toBe(riderId);
  redis.disconnect();
  await proxy.close();
}, 20_000);
