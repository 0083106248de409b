import { afterAll, beforeAll, expect, test } from 'bun:test';
import { advanceClockUntil, createTestTrip, type TestTrip } from './testing/harness.ts';

let world: TestTrip;
beforeAll(async () => {
  world = await createTestTrip();
});
afterAll(() => world.close());

test('while too many events wait for the broker people hear 503 with Retry-After; a repeated request gets its answer', async () => {
  const { publish } = world.bus;
  let away = true;
  world.bus.publish = async (events) => {
    if (away) throw new Error('the message broker is away');
    await publish(events);
  };
  const instance = world.createInstance({ OUTBOX_BACKLOG_MAX: '2' });
  await instance.start();
  const create = () => {
    const rider = world.createCity().addRider();
    return instance.clientFor(rider).create(rider.addQuote());
  };
  const first = world.createCity().addRider();
  const quoteId = first.addQuote();
  const created = await instance.clientFor(first).create(quoteId, 'the-first');
  expect(created.status).toBe(201);
  const refused = await advanceClockUntil(world.clock, 'a refusal', async () => {
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
  away = false;
  await advanceClockUntil(world.clock, 'room again', async () => (await create()).status === 201);
});
