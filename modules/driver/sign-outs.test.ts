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

async function me(driverId: DriverId): Promise<Driver> {
  const { json } = await driver.send('GET', '/v1/drivers/me', { as: [driverId, 'driver'] });
  if (!Value.Check(Driver, json)) throw new Error('no driver came back');
  return json;
}
const becomes = (driverId: DriverId, status: string) =>
  until(async () => (await me(driverId)).status === status, { describe: `the driver to be ${status}` });
const isFound = async (driverId: DriverId) => {
  const query = { point: place, limit: 50, radiusMetresMax: 1_000, excluding: [] };
  return (await driver.index.nearest(query)).some((one) => one.driverId === driverId);
};
const hold = async (driverId: DriverId, tripId = driver.ids<TripId>()) => {
  const body = { driverId, tripId, version: 1, product: 'car', ttlMs: 15_000 };
  return (await driver.send('POST', '/internal/driver/holds', { body })).json;
};
const request = (driverId: DriverId, status: string) =>
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
const isHandled = ({ id }: { id: string }) =>
  until(async () => (await driver.database.primary`select from inbox where event_id = ${id}`).count === 1, {
    describe: 'the event to be handled',
  });

async function atWork(): Promise<DriverId> {
  const driverId = await driver.createAvailableDriver();
  await driver.send('PUT', '/v1/drivers/me/location', { as: [driverId, 'driver'], body: place });
  await driver.clock.advance(1);
  return driverId;
}

describe('a driver who has signed out or was banned', () => {
  test.each(['logout', 'banned', 'reuse'] as const)('is off the map at once: %s', async (cause) => {
    const driverId = await atWork();
    expect(await isFound(driverId)).toBe(true);
    await publish(signOut(driverId, { cause }));
    await becomes(driverId, 'offline');
    await until(async () => !(await isFound(driverId)));
    expect(await hold(driverId)).toEqual({ held: false });
  });

  test('is released from a hold and from an offer, and what the trip says afterwards changes nothing', async () => {
    const driverId = await atWork();
    const tripId = driver.ids<TripId>();
    await hold(driverId, tripId);
    const offer = tripEvent('trip.offered.v1', driverId, tripId, 2);
    await publish(offer);
    await isHandled(offer);
    expect((await me(driverId)).status).toBe('held');
    await publish(signOut(driverId));
    await becomes(driverId, 'offline');
    const lapse = tripEvent('trip.offer_lapsed.v1', driverId, tripId, 3);
    await publish(lapse);
    await isHandled(lapse);
    expect(await me(driverId)).toMatchObject({ status: 'offline', tripId: null });
  });

  test('is held by an offer that arrives after the sign-out until the trip lets it lapse', async () => {
    const driverId = await atWork();
    const tripId = driver.ids<TripId>();
    await publish(signOut(driverId));
    await becomes(driverId, 'offline');
    await publish(tripEvent('trip.offered.v1', driverId, tripId, 2));
    await becomes(driverId, 'held');
    await publish(tripEvent('trip.offer_lapsed.v1', driverId, tripId, 3));
    await becomes(driverId, 'offline');
  });

  test('drives on, and is offline when the trip ends', async () => {
    const driverId = await atWork();
    const tripId = driver.ids<TripId>();
    await publish(tripEvent('trip.assigned.v1', driverId, tripId, 3));
    await becomes(driverId, 'on_trip');
    const event = signOut(driverId, { cause: 'banned' });
    await publish(event);
    await isHandled(event);
    expect(await me(driverId)).toMatchObject({ status: 'on_trip', tripId });
    await publish(tripEvent('trip.completed.v1', driverId, tripId, 6));
    await becomes(driverId, 'offline');
  });

  test('is free of the trip once replaced', async () => {
    const driverId = await atWork();
    const tripId = driver.ids<TripId>();
    await publish(tripEvent('trip.assigned.v1', driverId, tripId, 3));
    await becomes(driverId, 'on_trip');
    await publish(tripEvent('trip.driver_replaced.v1', driverId, tripId, 4));
    await becomes(driverId, 'available');
  });
});

describe('a sign-out that comes late', () => {
  test('changes nothing for a driver who asked to be available since, even if they were all along', async () => {
    const driverId = await atWork();
    const late = signOut(driverId);
    await driver.clock.advance(500);
    expect((await request(driverId, 'available')).status).toBe(200);
    await publish(late);
    await isHandled(late);
    expect((await me(driverId)).status).toBe('available');
    expect(await isFound(driverId)).toBe(true);
  });

  test('changes nothing the second time it comes', async () => {
    const driverId = await atWork();
    const event = signOut(driverId);
    await publish(event);
    await becomes(driverId, 'offline');
    await driver.clock.advance(500);
    await request(driverId, 'available');
    await publish(event, signOut(driver.ids<DriverId>()));
    await until(() => driver.metrics.text().includes('events_already_applied_total{queue="driver.people"}'));
    expect((await me(driverId)).status).toBe('available');
  });

  test('counts against what was asked for before it', async () => {
    const driverId = await atWork();
    await request(driverId, 'available');
    await driver.clock.advance(1);
    await publish(signOut(driverId));
    await becomes(driverId, 'offline');
  });
});

test('that a rider signs out is no business of drivers', async () => {
  const driverId = await atWork();
  const other = await atWork();
  await publish(signOut(driverId, { role: 'rider' }), signOut(other));
  await becomes(other, 'offline');
  expect((await me(driverId)).status).toBe('available');
});
