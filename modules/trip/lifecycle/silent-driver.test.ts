import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { TripHistory } from '@contracts/trips.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { until } from '@testing/until.ts';
import {
  createTestTrip,
  createTripInStatus,
  type TestTrip,
  type TestTripInstance,
} from '../testing/harness.ts';

let world: TestTrip;
let instance: TestTripInstance;
beforeAll(async () => {
  world = await createTestTrip();
  instance = world.createInstance({ DISPATCH_MODE: 'sync' });
  await instance.start();
});
afterEach(async () => {
  world.drivers.isReachable = true;
  expect(await findTripViolations(world.sql)).toEqual([]);
});
afterAll(() => world.close());

const minuteMs = 60_000;
const silentMs = 10 * minuteMs;

describe('a rider ends a ride', () => {
  test('409 with Retry-After while the driver sends positions, 200 once they are silent for ten minutes', async () => {
    const { id, asRider } = await createTripInStatus('in_progress', instance, world.createCity());
    await world.clock.advance(30 * minuteMs);
    world.drivers.lastPositionsAtMs.set(id, world.clock.nowMs());
    await world.clock.advance(4 * minuteMs);
    const early = await asRider.act(id, 'complete');
    expect([early.status, early.code]).toEqual([409, 'trip.driver_not_silent']);
    expect(early.headers.get('retry-after')).toBe('360');
    await world.clock.advance(silentMs - 4 * minuteMs - 1);
    expect((await asRider.act(id, 'complete')).headers.get('retry-after')).toBe('1');
    await world.clock.advance(1);
    const done = await asRider.act(id, 'complete');
    expect(done.trip).toMatchObject({ status: 'completed', endedBy: 'rider', reason: 'driver_silent' });

    const event = await until(() => world.eventsOf(id).find(({ type }) => type === 'trip.completed.v1'));
    expect(event.data).toMatchObject({ fareRule: 'metered', startedAt: expect.any(String) });
    const { items } = (await asRider.send('GET', `/v1/trips/${id}/history`)).parseAs(TripHistory);
    expect(items.at(-1)).toMatchObject({ from: 'in_progress', to: 'completed', actor: 'rider' });
  });

  test('of which no position is known: silence counts from its start', async () => {
    const { id, asRider } = await createTripInStatus('in_progress', instance, world.createCity());
    await world.clock.advance(silentMs - 1);
    expect((await asRider.act(id, 'complete')).code).toBe('trip.driver_not_silent');
    await world.clock.advance(1);
    expect((await asRider.act(id, 'complete')).status).toBe(200);
  });

  test('503, and nothing changes, while the driver context is away', async () => {
    const { id, asRider } = await createTripInStatus('in_progress', instance, world.createCity());
    await world.clock.advance(silentMs);
    world.drivers.isReachable = false;
    const answer = await asRider.act(id, 'complete');
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).not.toBeNull();
    world.drivers.isReachable = true;
    expect((await asRider.get(id)).trip.status).toBe('in_progress');
    expect((await asRider.act(id, 'complete')).status).toBe(200);
  });

  test('again, or after its driver did: the same answer and no second history row', async () => {
    const silent = await createTripInStatus('in_progress', instance, world.createCity());
    await world.clock.advance(silentMs);
    const first = await silent.asRider.act(silent.id, 'complete');
    expect((await silent.asRider.act(silent.id, 'complete')).trip).toEqual(first.trip);
    // The phone is found again: for its driver too the ride is over.
    expect((await silent.asDriver.act(silent.id, 'complete')).trip).toMatchObject({
      ...{ status: 'completed', endedBy: 'rider', version: first.trip.version },
    });
    const driven = await createTripInStatus('completed', instance, world.createCity());
    expect((await driven.asRider.act(driven.id, 'complete')).trip.endedBy).toBe('driver');
  });

  test.each(['offered', 'assigned', 'arrived'] as const)(
    '409 while it is %s: there is no ride yet',
    async (status) => {
      const { id, asRider } = await createTripInStatus(status, instance, world.createCity());
      expect((await asRider.act(id, 'complete')).code).toBe('trip.wrong_state');
    },
  );

  test('404 for a ride of others, without asking where its driver is', async () => {
    const { id } = await createTripInStatus('in_progress', instance, world.createCity());
    world.drivers.isReachable = false;
    const other = instance.clientFor(world.createCity().addRider());
    expect((await other.act(id, 'complete')).code).toBe('trip.not_found');
  });

  test('after as many minutes as the setting says', async () => {
    const eager = world.createInstance({ DISPATCH_MODE: 'sync', DRIVER_SILENT_MINUTES: '3' });
    const { id, rider } = await createTripInStatus('in_progress', instance, world.createCity());
    await world.clock.advance(3 * minuteMs);
    expect((await eager.clientFor(rider).act(id, 'complete')).status).toBe(200);
  });
});
