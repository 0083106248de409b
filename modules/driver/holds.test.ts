import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { Driver, HoldResult, type Product, type Vehicle } from '@contracts/drivers.ts';
import type { DriverId, TripId } from '@contracts/ids.ts';
import { Value } from '@sinclair/typebox/value';
import { until } from '@testing/until.ts';
import fc from 'fast-check';
import { createTestDriver, sampleDriverTripEvent, type TestDriver, testVehicle } from './testing/harness.ts';

let driver: TestDriver;
beforeAll(async () => {
  driver = await createTestDriver();
  for (const worker of driver.context.workers) await worker.start();
});
afterAll(async () => {
  for (const worker of driver.context.workers.toReversed()) await worker.stop();
  await driver.close();
});

const bike: Vehicle = { product: 'bike', plate: '59X1-1', model: 'Wave', colour: 'red' };
const otherCar: Vehicle = { ...testVehicle, plate: '51A-999.99', colour: 'black' };
const ttlMs = 15_000;

async function hold(
  driverId: DriverId,
  terms: { tripId?: TripId; version?: number; product?: Product } = {},
) {
  const { tripId = driver.ids<TripId>(), version = 1, product = 'car' } = terms;
  const body = { driverId, tripId, version, product, ttlMs };
  const { json } = await driver.send('POST', '/internal/driver/holds', { body });
  if (!Value.Check(HoldResult, json)) throw new Error(`no result of a hold: ${JSON.stringify(json)}`);
  return json;
}
const release = (driverId: DriverId, tripId: TripId, version = 1) =>
  driver.send('POST', '/internal/driver/releases', { body: { driverId, tripId, version } });
const change = (driverId: DriverId, vehicle: Vehicle) =>
  driver.send('PUT', '/v1/drivers/me/vehicle', { as: [driverId, 'driver'], body: vehicle });
const request = (driverId: DriverId, status: string) =>
  driver.send('PUT', '/v1/drivers/me/status', { as: [driverId, 'driver'], body: { status } });

async function me(driverId: DriverId): Promise<Driver> {
  const { json } = await driver.send('GET', '/v1/drivers/me', { as: [driverId, 'driver'] });
  if (!Value.Check(Driver, json)) throw new Error('no driver came back');
  return json;
}
const becomes = (driverId: DriverId, status: string) =>
  until(async () => (await me(driverId)).status === status, { describe: `the driver to be ${status}` });

describe('a hold takes what the driver is at that moment', () => {
  test('a vehicle changed after the search is the one that the hold names', async () => {
    const driverId = await driver.createAvailableDriver();
    expect((await change(driverId, otherCar)).status).toBe(200);
    expect(await hold(driverId)).toEqual({ held: true, vehicle: otherCar });
  });

  test('a driver whose vehicle no longer serves the product is not held', async () => {
    const driverId = await driver.createAvailableDriver();
    await change(driverId, bike);
    expect(await hold(driverId)).toEqual({ held: false });
    expect(await hold(driverId, { product: 'bike' })).toEqual({ held: true, vehicle: bike });
  });

  test('a driver who went offline after the search is not held, nor one that was never heard of', async () => {
    const driverId = await driver.createAvailableDriver();
    await request(driverId, 'offline');
    expect(await hold(driverId)).toEqual({ held: false });
    expect(await hold(driver.ids<DriverId>())).toEqual({ held: false });
  });

  test('while held, changing the vehicle and going offline answer 409 driver.busy', async () => {
    const driverId = await driver.createAvailableDriver();
    const tripId = driver.ids<TripId>();
    await hold(driverId, { tripId });
    expect(await me(driverId)).toMatchObject({ status: 'held', tripId, vehicle: testVehicle });
    expect(await change(driverId, otherCar)).toMatchObject({ status: 409, code: 'driver.busy' });
    expect(await request(driverId, 'offline')).toMatchObject({ status: 409, code: 'driver.busy' });
  });
});

describe('one hold at a time', () => {
  test('of many trips that ask at once, one gets the driver', async () => {
    const driverId = await driver.createAvailableDriver();
    const results = await Promise.all(Array.from({ length: 20 }, () => hold(driverId)));
    expect(results.filter(({ held }) => held)).toHaveLength(1);
  });

  test('the trip that holds a driver is refused a second hold, so that one dispatcher alone offers it', async () => {
    const driverId = await driver.createAvailableDriver();
    const tripId = driver.ids<TripId>();
    expect((await hold(driverId, { tripId })).held).toBe(true);
    expect((await hold(driverId, { tripId })).held).toBe(false);
  });

  test('a driver who is held is no candidate, and is one again once released, also for the same trip', async () => {
    const driverId = await driver.createAvailableDriver();
    const pickup = { lat: 12.5, lng: 108.1 };
    await driver.send('PUT', '/v1/drivers/me/location', { as: [driverId, 'driver'], body: pickup });
    const query = { pickup, product: 'car', limit: 5, excluding: [] };
    const candidates = async () =>
      (await driver.send('POST', '/internal/driver/candidates', { body: query })).json;
    const tripId = driver.ids<TripId>();
    await hold(driverId, { tripId });
    expect(await candidates()).toEqual({ candidates: [] });
    await release(driverId, driver.ids<TripId>());
    expect((await me(driverId)).status).toBe('held');
    await release(driverId, tripId);
    await release(driverId, tripId);
    expect(await candidates()).toMatchObject({ candidates: [{ driverId }] });
    expect((await hold(driverId, { tripId })).held).toBe(true);
  });
});

describe('a hold and the events of its trip', () => {
  const event = (
    type: Parameters<typeof sampleDriverTripEvent>[0],
    driverId: DriverId,
    tripId: TripId,
    version: number,
  ) => sampleDriverTripEvent(type, driverId, tripId, { version, atMs: driver.clock.nowMs() });

  test('the offer takes over: a release that comes late does not free the driver', async () => {
    const driverId = await driver.createAvailableDriver();
    const tripId = driver.ids<TripId>();
    await hold(driverId, { tripId });
    await driver.bus.publish([event('trip.offered.v1', driverId, tripId, 2)]);
    const isApplied = () => driver.database.primary`select from driver_history
      where driver_id = ${driverId} and cause = 'trip.offered.v1'`;
    await until(async () => (await isApplied()).count === 1);
    await release(driverId, tripId);
    expect((await me(driverId)).status).toBe('held');
    await driver.bus.publish([event('trip.assigned.v1', driverId, tripId, 3)]);
    await becomes(driverId, 'on_trip');
  });

  test('a hold that comes after the trip has moved on is refused', async () => {
    const driverId = await driver.createAvailableDriver();
    const tripId = driver.ids<TripId>();
    await driver.bus.publish([event('trip.offered.v1', driverId, tripId, 2)]);
    await becomes(driverId, 'held');
    await driver.bus.publish([event('trip.offer_declined.v1', driverId, tripId, 3)]);
    await becomes(driverId, 'available');
    expect(await hold(driverId, { tripId, version: 1 })).toEqual({ held: false });
  });

  test('a hold whose release was lost ends by its time; the trip may ask again', async () => {
    const driverId = await driver.createAvailableDriver();
    const tripId = driver.ids<TripId>();
    const heldAtMs = driver.clock.nowMs();
    await hold(driverId, { tripId });
    await driver.clock.advance(ttlMs);
    expect((await me(driverId)).status).toBe('held');
    await until(
      async () => {
        await driver.clock.advance(2_000);
        return (await me(driverId)).status === 'available';
      },
      { describe: 'the hold to end' },
    );
    expect(driver.clock.nowMs() - heldAtMs).toBeLessThan(40_000);
    expect((await hold(driverId, { tripId })).held).toBe(true);
  });
});

test('whatever a driver does while trips ask for them, a hold names the vehicle that they are held with', async () => {
  const act = fc.constantFrom(
    'other car',
    'first car',
    'bike',
    'offline',
    'available',
    'hold',
    'hold',
    'release',
  );
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 4, maxLength: 10 }), async (acts) => {
      const driverId = await driver.createAvailableDriver();
      const trips = acts.map(() => driver.ids<TripId>());
      let held: Vehicle[] = [];
      await Promise.all(
        acts.map(async (one, place) => {
          const tripId = trips[place] ?? driver.ids<TripId>();
          if (one === 'other car') await change(driverId, otherCar);
          if (one === 'first car') await change(driverId, testVehicle);
          if (one === 'bike') await change(driverId, bike);
          if (one === 'offline' || one === 'available') await request(driverId, one);
          if (one === 'release') await release(driverId, driver.ids<TripId>());
          if (one !== 'hold') return;
          const result = await hold(driverId, { tripId });
          if (result.held) held = [...held, result.vehicle];
        }),
      );
      const { status, vehicle } = await me(driverId);
      expect(held.length).toBe(status === 'held' ? 1 : 0);
      if (status === 'held') expect(held).toEqual([vehicle as Vehicle]);
    }),
    { numRuns: 60 },
  );
}, 30_000);
