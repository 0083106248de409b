import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { Driver } from '@contracts/drivers.ts';
import type { DriverId, TripId } from '@contracts/ids.ts';
import { Value } from '@sinclair/typebox/value';
import { signedOutEvent } from '@testing/events.ts';
import { until } from '@testing/until.ts';
import { createTestDriver, sampleDriverTripEvent, type TestDriver } from './testing/harness.ts';

let driver: TestDriver;
beforeAll(async () => {
  driver = await createTestDriver();
  for (const worker of driver.context.workers) await worker.start();
});
afterAll(async () => {
  for (const worker of driver.context.workers.toReversed()) await worker.stop();
  await driver.close();
});

const place = { lat: 10.7721, lng: 106.6983 };

async function fetchDriver(driverId: DriverId): Promise<Driver> {
  const { json } = await driver.send('GET', '/v1/drivers/me', { as: [driverId, 'driver'] });
  if (!Value.Check(Driver, json)) throw new Error('the response is not a Driver');
  return json;
}
const waitForStatus = (driverId: DriverId, status: string) =>
  until(async () => (await fetchDriver(driverId)).status === status, {
    describe: `the driver to be ${status}`,
  });
const isFound = async (driverId: DriverId) => {
  const query = { point: place, limit: 50, radiusMetresMax: 1_000, excluding: [] };
  return (await driver.index.nearest(query)).some((found) => found.driverId === driverId);
};
const hold = async (driverId: DriverId, tripId = driver.ids<TripId>()) => {
  const body = { driverId, tripId, version: 1, product: 'car', ttlMs: 15_000 };
  return (await driver.send('POST', '/internal/driver/holds', { body })).json;
};
const requestStatus = (driverId: DriverId, status: string) =>
  driver.send('PUT', '/v1/drivers/me/status', { as: [driverId, 'driver'], body: { status } });
const publish = (...events: Parameters<TestDriver['bus']['publish']>[0]) => driver.bus.publish(events);
const signOut = (driverId: DriverId, facts: Partial<Parameters<typeof signedOutEvent>[1]> = {}) =>
  signedOutEvent(driverId, { atMs: driver.clock.nowMs(), ...facts });
const tripEvent = (
  type: Parameters<typeof sampleDriverTripEvent>[0],
  driverId: DriverId,
  tripId: TripId,
  version: number,
) => sampleDriverTripEvent(type, driverId, tripId, { version, atMs: driver.clock.nowMs() });
const waitUntilHandled = ({ id }: { id: string }) =>
  until(async () => (await driver.database.primary`select from inbox where event_id = ${id}`).count === 1, {
    describe: 'the event to be handled',
  });

async function createFindableDriver(): Promise<DriverId> {
  const driverId = await driver.createAvailableDriver();
  await driver.send('PUT', '/v1/drivers/me/location', { as: [driverId, 'driver'], body: place });
  await driver.clock.advance(1);
  return driverId;
}

describe('a driver who has signed out or was banned', () => {
  test.each(['logout', 'banned', 'reuse'] as const)(
    'goes offline at once after %s and is found by no search',
    async (cause) => {
      const driverId = await createFindableDriver();
      expect(await isFound(driverId)).toBe(true);
      await publish(signOut(driverId, { cause }));
      await waitForStatus(driverId, 'offline');
      await until(async () => !(await isFound(driverId)));
      expect(await hold(driverId)).toEqual({ held: false });
    },
  );

  test('is released from a hold and an offer, and later events of the trip change nothing', async () => {
    const driverId = await createFindableDriver();
    const tripId = driver.ids<TripId>();
    await hold(driverId, tripId);
    const offer = tripEvent('trip.offered.v1', driverId, tripId, 2);
    await publish(offer);
    await waitUntilHandled(offer);
    expect((await fetchDriver(driverId)).status).toBe('held');
    await publish(signOut(driverId));
    await waitForStatus(driverId, 'offline');
    const lapse = tripEvent('trip.offer_lapsed.v1', driverId, tripId, 3);
    await publish(lapse);
    await waitUntilHandled(lapse);
    expect(await fetchDriver(driverId)).toMatchObject({ status: 'offline', tripId: null });
  });

  test('is held by an offer that arrives after the sign-out until the offer lapses', async () => {
    const driverId = await createFindableDriver();
    const tripId = driver.ids<TripId>();
    await publish(signOut(driverId));
    await waitForStatus(driverId, 'offline');
    await publish(tripEvent('trip.offered.v1', driverId, tripId, 2));
    await waitForStatus(driverId, 'held');
    await publish(tripEvent('trip.offer_lapsed.v1', driverId, tripId, 3));
    await waitForStatus(driverId, 'offline');
  });

  test('finishes the current trip and is offline when it ends', async () => {
    const driverId = await createFindableDriver();
    const tripId = driver.ids<TripId>();
    await publish(tripEvent('trip.assigned.v1', driverId, tripId, 3));
    await waitForStatus(driverId, 'on_trip');
    const event = signOut(driverId, { cause: 'banned' });
    await publish(event);
    await waitUntilHandled(event);
    expect(await fetchDriver(driverId)).toMatchObject({ status: 'on_trip', tripId });
    await publish(tripEvent('trip.completed.v1', driverId, tripId, 6));
    await waitForStatus(driverId, 'offline');
  });

  test('is available again after being replaced on a trip', async () => {
    const driverId = await createFindableDriver();
    const tripId = driver.ids<TripId>();
    await publish(tripEvent('trip.assigned.v1', driverId, tripId, 3));
    await waitForStatus(driverId, 'on_trip');
    await publish(tripEvent('trip.driver_replaced.v1', driverId, tripId, 4));
    await waitForStatus(driverId, 'available');
  });
});

describe('a sign-out event that arrives late', () => {
  test('changes nothing for a driver who has requested to be available since, even without a change of status', async () => {
    const driverId = await createFindableDriver();
    const late = signOut(driverId);
    await driver.clock.advance(500);
    expect((await requestStatus(driverId, 'available')).status).toBe(200);
    await publish(late);
    await waitUntilHandled(late);
    expect((await fetchDriver(driverId)).status).toBe('available');
    expect(await isFound(driverId)).toBe(true);
  });

  test('changes nothing when it is redelivered', async () => {
    const driverId = await createFindableDriver();
    const event = signOut(driverId);
    await publish(event);
    await waitForStatus(driverId, 'offline');
    await driver.clock.advance(500);
    await requestStatus(driverId, 'available');
    await publish(event, signOut(driver.ids<DriverId>()));
    await until(() => driver.metrics.text().includes('events_already_applied_total{queue="driver.people"}'));
    expect((await fetchDriver(driverId)).status).toBe('available');
  });

  test('overrides a request made before the sign-out', async () => {
    const driverId = await createFindableDriver();
    await requestStatus(driverId, 'available');
    await driver.clock.advance(1);
    await publish(signOut(driverId));
    await waitForStatus(driverId, 'offline');
  });
});

test('the sign-out of a rider does not affect any driver', async () => {
  const driverId = await createFindableDriver();
  const other = await createFindableDriver();
  await publish(signOut(driverId, { role: 'rider' }), signOut(other));
  await waitForStatus(other, 'offline');
  expect((await fetchDriver(driverId)).status).toBe('available');
});
