import { afterAll, beforeAll, expect, test } from 'bun:test';
import { advanceClockUntil, createTestTrip, type TestTrip } from './testing/harness.ts';

let harness: TestTrip;
beforeAll(async () => {
  harness = await createTestTrip();
});
afterAll(() => harness.close());

test('requests that would write events are answered 503 with Retry-After while the outbox is full, and a repeated request gets its first response', async () => {
  const { publish } = harness.bus;
  let isBrokerDown = true;
  harness.bus.publish = async (events) => {
    if (isBrokerDown) throw new Error('the message broker is unavailable');
    await publish(events);
  };
  const instance = harness.createInstance({ OUTBOX_BACKLOG_MAX: '2' });
  await instance.start();
  const create = () => {
    const rider = harness.createCity().addRider();
    return instance.clientFor(rider).create(rider.addQuote());
  };
  const first = harness.createCity().addRider();
  const quoteId = first.addQuote();
  const created = await instance.clientFor(first).create(quoteId, 'the-first');
  expect(created.status).toBe(201);
  const refused = await advanceClockUntil(harness.clock, 'a 503 response', async () => {
    const answer = await create();
    return answer.status !== 201 && answer;
  });
  expect([refused.status, refused.code]).toEqual([503, 'service.unavailable']);
  expect(refused.headers.get('retry-after')).toBe('5');
  const cancelled = await instance
    .clientFor(first)
    .act(created.trip.id, 'cancel', { reason: 'rider_changed_mind' });
  expect(cancelled.status).toBe(503);
  expect((await instance.clientFor(first).get(created.trip.id)).trip.status).toBe('requested');
  expect((await instance.clientFor(first).create(quoteId, 'the-first')).text).toBe(created.text);
  isBrokerDown = false;
  await advanceClockUntil(harness.clock, 'room again', async () => (await create()).status === 201);
});
