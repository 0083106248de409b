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
  if (!Value.Check(HoldResult, json))
    throw new Error(`the response is not a HoldResult: ${JSON.stringify(json)}`);
  return json;
}
const release = (driverId: DriverId, tripId: TripId, version = 1) =>
  driver.send('POST', '/internal/driver/releases', { body: { driverId, tripId, version } });
const changeVehicle = (driverId: DriverId, vehicle: Vehicle) =>
  driver.send('PUT', '/v1/drivers/me/vehicle', { as: [driverId, 'driver'], body: vehicle });
const requestStatus = (driverId: DriverId, status: string) =>
  driver.send('PUT', '/v1/drivers/me/status', { as: [driverId, 'driver'], body: { status } });

async function fetchDriver(driverId: DriverId): Promise<Driver> {
  const { json } = await driver.send('GET', '/v1/drivers/me', { as: [driverId, 'driver'] });
  if (!Value.Check(Driver, json)) throw new Error('the response is not a Driver');
  return json;
}
const waitForStatus = (driverId: DriverId, status: string) =>
  until(async () => (await fetchDriver(driverId)).status === status, {
    describe: `the driver to be ${status}`,
  });

describe('a hold uses the state of the driver at that moment', () => {
  test('a hold names the vehicle that was changed after the search', async () => {
    const driverId = await driver.createAvailableDriver();
    expect((await changeVehicle(driverId, otherCar)).status).toBe(200);
    expect(await hold(driverId)).toEqual({ held: true, vehicle: otherCar });
  });

  test('a driver whose vehicle no longer fits the product is not held', async () => {
    const driverId = await driver.createAvailableDriver();
    await changeVehicle(driverId, bike);
    expect(await hold(driverId)).toEqual({ held: false });
    expect(await hold(driverId, { product: 'bike' })).toEqual({ held: true, vehicle: bike });
  });

  test('neither a driver who went offline after the search nor an unknown driver is held', async () => {
    const driverId = await driver.createAvailableDriver();
    await requestStatus(driverId, 'offline');
    expect(await hold(driverId)).toEqual({ held: false });
    expect(await hold(driver.ids<DriverId>())).toEqual({ held: false });
  });

  test('changing the vehicle and going offline answer 409 driver.busy while held', async () => {
    const driverId = await driver.createAvailableDriver();
    const tripId = driver.ids<TripId>();
    await hold(driverId, { tripId });
    expect(await fetchDriver(driverId)).toMatchObject({ status: 'held', tripId, vehicle: testVehicle });
    expect(await changeVehicle(driverId, otherCar)).toMatchObject({ status: 409, code: 'driver.busy' });
    expect(await requestStatus(driverId, 'offline')).toMatchObject({ status: 409, code: 'driver.busy' });
  });
});

describe('a driver has one hold at a time', () => {
  test('of many concurrent trips, one gets the driver', async () => {
    const driverId = await driver.createAvailableDriver();
    const results = await Promise.all(Array.from({ length: 20 }, () => hold(driverId)));
    expect(results.filter(({ held }) => held)).toHaveLength(1);
  });

  test('a second hold of the same trip is refused, so that only one dispatcher makes the offer', async () => {
    const driverId = await driver.createAvailableDriver();
    const tripId = driver.ids<TripId>();
    expect((await hold(driverId, { tripId })).held).toBe(true);
    expect((await hold(driverId, { tripId })).held).toBe(false);
  });

  test('a held driver is not a candidate until released, and may be held again by the same trip', async () => {
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
    expect((await fetchDriver(driverId)).status).toBe('held');
    await release(driverId, tripId);
    await release(driverId, tripId);
    expect(await candidates()).toMatchObject({ candidates: [{ driverId }] });
    expect((await hold(driverId, { tripId })).held).toBe(true);
  });
});

describe('a hold together with the events of its trip', () => {
  const event = (
    type: Parameters<typeof sampleDriverTripEvent>[0],
    driverId: DriverId,
    tripId: TripId,
    version: number,
  ) => sampleDriverTripEvent(type, driverId, tripId, { version, atMs: driver.clock.nowMs() });

  test('a late release does not free a driver whose offer has been made', async () => {
    const driverId = await driver.createAvailableDriver();
    const tripId = driver.ids<TripId>();
    await hold(driverId, { tripId });
    await driver.bus.publish([event('trip.offered.v1', driverId, tripId, 2)]);
    const appliedEvents = () => driver.database.primary`select from driver_history
      where driver_id = ${driverId} and cause = 'trip.offered.v1'`;
    await until(async () => (await appliedEvents()).count === 1);
    await release(driverId, tripId);
    expect((await fetchDriver(driverId)).status).toBe('held');
    await driver.bus.publish([event('trip.assigned.v1', driverId, tripId, 3)]);
    await waitForStatus(driverId, 'on_trip');
  });

  test('a hold that arrives after a newer event of the trip is refused', async () => {
    const driverId = await driver.createAvailableDriver();
    const tripId = driver.ids<TripId>();
    await driver.bus.publish([event('trip.offered.v1', driverId, tripId, 2)]);
    await waitForStatus(driverId, 'held');
    await driver.bus.publish([event('trip.offer_declined.v1', driverId, tripId, 3)]);
    await waitForStatus(driverId, 'available');
    expect(await hold(driverId, { tripId, version: 1 })).toEqual({ held: false });
  });

  test('a hold whose release was lost expires, and the trip may hold the driver again', async () => {
    const driverId = await driver.createAvailableDriver();
    const tripId = driver.ids<TripId>();
    const heldAtMs = driver.clock.nowMs();
    await hold(driverId, { tripId });
    await driver.clock.advance(ttlMs);
    expect((await fetchDriver(driverId)).status).toBe('held');
    await until(
      async () => {
        await driver.clock.advance(2_000);
        return (await fetchDriver(driverId)).status === 'available';
      },
      { describe: 'the hold to end' },
    );
    expect(driver.clock.nowMs() - heldAtMs).toBeLessThan(40_000);
    expect((await hold(driverId, { tripId })).held).toBe(true);
  });
});

test('whatever a driver does concurrently, a hold names the vehicle that they are held with', async () => {
  const anyAction = fc.constantFrom(
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
    fc.asyncProperty(fc.array(anyAction, { minLength: 4, maxLength: 10 }), async (actions) => {
      const driverId = await driver.createAvailableDriver();
      const trips = actions.map(() => driver.ids<TripId>());
      let held: Vehicle[] = [];
      await Promise.all(
        actions.map(async (action, index) => {
          const tripId = trips[index] ?? driver.ids<TripId>();
          if (action === 'other car') await changeVehicle(driverId, otherCar);
          if (action === 'first car') await changeVehicle(driverId, testVehicle);
          if (action === 'bike') await changeVehicle(driverId, bike);
          if (action === 'offline' || action === 'available') await requestStatus(driverId, action);
          if (action === 'release') await release(driverId, driver.ids<TripId>());
          if (action !== 'hold') return;
          const result = await hold(driverId, { tripId });
          if (result.held) held = [...held, result.vehicle];
        }),
      );
      const { status, vehicle } = await fetchDriver(driverId);
      expect(held.length).toBe(status === 'held' ? 1 : 0);
      if (status === 'held') expect(held).toEqual([vehicle as Vehicle]);
    }),
    { numRuns: 60 },
  );
}, 30_000);
