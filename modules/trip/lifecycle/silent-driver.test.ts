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

let harness: TestTrip;
let instance: TestTripInstance;
beforeAll(async () => {
  harness = await createTestTrip();
  instance = harness.createInstance({ DISPATCH_MODE: 'sync' });
  await instance.start();
});
afterEach(async () => {
  harness.drivers.isReachable = true;
  expect(await findTripViolations(harness.sql)).toEqual([]);
});
afterAll(() => harness.close());

const minuteMs = 60_000;
const silentMs = 10 * minuteMs;

describe('a rider who completes a ride', () => {
  test('gets 409 with Retry-After while the driver sends positions, and 200 after ten minutes of silence', async () => {
    const { id, asRider } = await createTripInStatus('in_progress', instance, harness.createCity());
    await harness.clock.advance(30 * minuteMs);
    harness.drivers.lastPositionsAtMs.set(id, harness.clock.nowMs());
    await harness.clock.advance(4 * minuteMs);
    const early = await asRider.act(id, 'complete');
    expect([early.status, early.code]).toEqual([409, 'trip.driver_not_silent']);
    expect(early.headers.get('retry-after')).toBe('360');
    await harness.clock.advance(silentMs - 4 * minuteMs - 1);
    expect((await asRider.act(id, 'complete')).headers.get('retry-after')).toBe('1');
    await harness.clock.advance(1);
    const done = await asRider.act(id, 'complete');
    expect(done.trip).toMatchObject({ status: 'completed', endedBy: 'rider', reason: 'driver_silent' });

    const event = await until(() => harness.eventsOf(id).find(({ type }) => type === 'trip.completed.v1'));
    expect(event.data).toMatchObject({ fareRule: 'metered', startedAt: expect.any(String) });
    const { items } = (await asRider.send('GET', `/v1/trips/${id}/history`)).parseAs(TripHistory);
    expect(items.at(-1)).toMatchObject({ from: 'in_progress', to: 'completed', actor: 'rider' });
  });

  test('without any known position can do so ten minutes after its start', async () => {
    const { id, asRider } = await createTripInStatus('in_progress', instance, harness.createCity());
    await harness.clock.advance(silentMs - 1);
    expect((await asRider.act(id, 'complete')).code).toBe('trip.driver_not_silent');
    await harness.clock.advance(1);
    expect((await asRider.act(id, 'complete')).status).toBe(200);
  });

  test('gets 503 and changes nothing while the driver service is unavailable', async () => {
    const { id, asRider } = await createTripInStatus('in_progress', instance, harness.createCity());
    await harness.clock.advance(silentMs);
    harness.drivers.isReachable = false;
    const answer = await asRider.act(id, 'complete');
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).not.toBeNull();
    harness.drivers.isReachable = true;
    expect((await asRider.get(id)).trip.status).toBe('in_progress');
    expect((await asRider.act(id, 'complete')).status).toBe(200);
  });

  test('again, or after the driver did, gets the same response and no second history row', async () => {
    const silent = await createTripInStatus('in_progress', instance, harness.createCity());
    await harness.clock.advance(silentMs);
    const first = await silent.asRider.act(silent.id, 'complete');
    expect((await silent.asRider.act(silent.id, 'complete')).trip).toEqual(first.trip);
    // The driver's phone is back: for the driver too the ride is over.
    expect((await silent.asDriver.act(silent.id, 'complete')).trip).toMatchObject({
      ...{ status: 'completed', endedBy: 'rider', version: first.trip.version },
    });
    const driven = await createTripInStatus('completed', instance, harness.createCity());
    expect((await driven.asRider.act(driven.id, 'complete')).trip.endedBy).toBe('driver');
  });

  test.each(['offered', 'assigned', 'arrived'] as const)('that is still %s gets 409', async (status) => {
    const { id, asRider } = await createTripInStatus(status, instance, harness.createCity());
    expect((await asRider.act(id, 'complete')).code).toBe('trip.wrong_state');
  });

  test('of another rider gets 404, without a call to the driver service', async () => {
    const { id } = await createTripInStatus('in_progress', instance, harness.createCity());
    harness.drivers.isReachable = false;
    const other = instance.clientFor(harness.createCity().addRider());
    expect((await other.act(id, 'complete')).code).toBe('trip.not_found');
  });

  test('can do so after DRIVER_SILENT_MINUTES', async () => {
    const eager = harness.createInstance({ DISPATCH_MODE: 'sync', DRIVER_SILENT_MINUTES: '3' });
    const { id, rider } = await createTripInStatus('in_progress', instance, harness.createCity());
    await harness.clock.advance(3 * minuteMs);
    expect((await eager.clientFor(rider).act(id, 'complete')).status).toBe(200);
  });
});
