import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { TripId } from '@contracts/ids.ts';
import { TripHistory, type TripStatus } from '@contracts/trips.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { until } from '@testing/until.ts';
import type { TestTripClient } from '../testing/client.ts';
import {
  advanceClockUntil,
  createTestTrip,
  createTripInStatus,
  type TestCity,
  type TestTrip,
  type TestTripInstance,
} from '../testing/harness.ts';

let harness: TestTrip;
beforeAll(async () => {
  harness = await createTestTrip();
});
afterEach(async () => {
  expect(await findTripViolations(harness.sql)).toEqual([]);
});
afterAll(() => harness.close());

const reaches = (client: TestTripClient, id: TripId, status: TripStatus) =>
  advanceClockUntil(harness.clock, `the trip to be ${status}`, async () => {
    const { trip } = await client.get(id);
    return trip.status === status ? trip : undefined;
  });
const isOffered = (instance: TestTripInstance, driver: ReturnType<TestCity['addDriver']>, id: TripId) =>
  until(async () => (await instance.clientFor(driver).get(id)).status === 200, { describe: 'the offer' });

interface DecisionRow {
  version: number;
  decision: {
    candidates: { driverId: string; etaSeconds: number }[];
    taken: string[];
    chosen: string;
    matchedTrips: number;
  };
}
const decisionsOf = (id: TripId) =>
  harness.sql<
    DecisionRow[]
  >`select version, decision from trip_decisions where trip_id = ${id} order by version`;

describe.each(['events', 'sync'])('dispatch in mode %s', (DISPATCH_MODE) => {
  let instance: TestTripInstance;
  beforeAll(async () => {
    instance = harness.createInstance({ DISPATCH_MODE });
    await instance.start();
  });
  afterAll(() => instance.stop());

  test('offers the trip to the nearest driver first, and to the next one after a decline', async () => {
    const city = harness.createCity();
    const [far, near, middle] = [city.addDriver(3_000), city.addDriver(300), city.addDriver(1_000)];
    const rider = city.addRider();
    const { id } = (await instance.clientFor(rider).create(rider.addQuote())).trip;
    for (const driver of [near, middle]) {
      await isOffered(instance, driver, id);
      expect((await instance.clientFor(driver).act(id, 'decline')).status).toBe(204);
    }
    await isOffered(instance, far, id);
    expect((await instance.clientFor(far).act(id, 'accept')).trip).toMatchObject({
      status: 'assigned',
      vehicle: { plate: far.plate },
    });

    const decisions = await decisionsOf(id);
    expect(decisions.map(({ version, decision }) => [version, decision.chosen])).toEqual([
      [2, near.id],
      [4, middle.id],
      [6, far.id],
    ]);
    const [first] = decisions;
    expect(first?.decision.candidates.map(({ driverId }) => driverId)).toEqual([near.id, middle.id, far.id]);
    expect(first?.decision.candidates.every(({ etaSeconds }) => etaSeconds > 0)).toBe(true);
    await until(() => !harness.drivers.holds.has(near.id), { describe: 'the driver to be free' });
  });

  test('offers the trip to the next driver when an offer lapses, and answers a late accept with 409', async () => {
    const city = harness.createCity();
    const [near, far] = [city.addDriver(300), city.addDriver(3_000)];
    const rider = city.addRider();
    const asRider = instance.clientFor(rider);
    const { id } = (await asRider.create(rider.addQuote())).trip;
    await isOffered(instance, near, id);
    await harness.clock.advance(15_000);
    const late = await instance.clientFor(near).act(id, 'accept');
    expect([late.status, late.code]).toEqual([409, 'trip.offer_expired']);
    await advanceClockUntil(
      harness.clock,
      'the next offer',
      async () => (await instance.clientFor(far).get(id)).status === 200,
    );
    expect((await instance.clientFor(near).act(id, 'accept')).code).toBe('trip.offer_expired');
    expect((await instance.clientFor(far).act(id, 'accept')).status).toBe(200);
    await until(() => !harness.drivers.holds.has(near.id), { describe: 'the driver to be free' });
  });

  test('ends a trip as unfulfilled when there is no driver to offer it to', async () => {
    const rider = harness.createCity().addRider();
    const client = instance.clientFor(rider);
    const { id } = (await client.create(rider.addQuote())).trip;
    await harness.clock.advance(119_000);
    expect((await client.get(id)).trip.status).toBe('requested');
    const ended = await reaches(client, id, 'unfulfilled');
    expect(ended).toMatchObject({ endedBy: 'system', reason: 'no_drivers' });
    expect((await client.create(rider.addQuote())).status).toBe(201);
  });

  test('ends a trip as unfulfilled when no driver accepted it', async () => {
    const { id, asRider } = await bringToOffered(instance);
    await harness.clock.advance(15_000);
    await reaches(asRider, id, 'requested');
    await harness.clock.advance(100_000);
    expect(await reaches(asRider, id, 'unfulfilled')).toMatchObject({ reason: 'search_timeout' });
  });

  test('finds a driver who becomes available later', async () => {
    const city = harness.createCity();
    const rider = city.addRider();
    const { id } = (await instance.clientFor(rider).create(rider.addQuote())).trip;
    await harness.clock.advance(10_000);
    city.addDriver();
    await reaches(instance.clientFor(rider), id, 'offered');
  });

  test('accepts requests while the driver service is unavailable, and dispatches them when it is back', async () => {
    const city = harness.createCity();
    const rider = city.addRider();
    city.addDriver();
    harness.drivers.isReachable = false;
    const created = await instance.clientFor(rider).create(rider.addQuote());
    expect(created.status).toBe(201);
    await harness.clock.advance(5_000);
    harness.drivers.isReachable = true;
    await reaches(instance.clientFor(rider), created.trip.id, 'offered');
  });

  test('skips a driver who is held for another trip', async () => {
    const city = harness.createCity();
    const [held, free] = [city.addDriver(300), city.addDriver(900)];
    harness.drivers.holds.set(held.id, harness.ids<TripId>());
    const rider = city.addRider();
    const { id } = (await instance.clientFor(rider).create(rider.addQuote())).trip;
    await isOffered(instance, free, id);
  });

  test('skips a driver who has a trip, even if the driver service has lost the hold', async () => {
    const city = harness.createCity();
    const [busy, free] = [city.addDriver(300), city.addDriver(900)];
    const first = city.addRider();
    const { id } = (await instance.clientFor(first).create(first.addQuote())).trip;
    await isOffered(instance, busy, id);
    await instance.clientFor(busy).act(id, 'accept');
    harness.drivers.holds.clear();

    const second = city.addRider();
    const next = (await instance.clientFor(second).create(second.addQuote())).trip;
    await isOffered(instance, free, next.id);
    const [row] = await decisionsOf(next.id);
    expect(row?.decision).toMatchObject({ chosen: free.id, taken: [busy.id] });
    expect(harness.drivers.holds.get(busy.id)).toBeUndefined();
  });

  test('withdraws the offer from the driver when the trip is cancelled', async () => {
    const { id, asRider, asDriver, driver } = await bringToOffered(instance);
    expect((await asRider.act(id, 'cancel', { reason: 'too long' })).status).toBe(200);
    expect((await asDriver.act(id, 'accept')).code).toBe('trip.wrong_state');
    await until(() => !harness.drivers.holds.has(driver.id), { describe: 'the driver to be free' });
    await until(() => harness.eventsOf(id).at(-1)?.type === 'trip.cancelled.v1');
    expect(harness.eventsOf(id).at(-1)?.data).toMatchObject({ offeredDriverId: driver.id, endedBy: 'rider' });
  });

  async function bringToOffered(on: TestTripInstance) {
    const city = harness.createCity();
    const [rider, driver] = [city.addRider(), city.addDriver()];
    const [asRider, asDriver] = [on.clientFor(rider), on.clientFor(driver)];
    const { id } = (await asRider.create(rider.addQuote())).trip;
    await isOffered(on, driver, id);
    return { id, asRider, asDriver, driver };
  }
});

test('both dispatch modes lead to the same history', async () => {
  const histories = [];
  for (const DISPATCH_MODE of ['events', 'sync']) {
    const instance = harness.createInstance({ DISPATCH_MODE });
    await instance.start();
    const city = harness.createCity();
    const [first, second, third] = [city.addDriver(300), city.addDriver(900), city.addDriver(1_500)];
    const rider = city.addRider();
    const asRider = instance.clientFor(rider);
    const { id, startCode } = (await asRider.create(rider.addQuote())).trip;
    await isOffered(instance, first, id);
    await instance.clientFor(first).act(id, 'decline', { reason: 'too far' });
    await isOffered(instance, second, id);
    await harness.clock.advance(15_000);
    await advanceClockUntil(
      harness.clock,
      'the third offer',
      async () => (await instance.clientFor(third).get(id)).status === 200,
    );
    for (const step of ['accept', 'arrive', 'start', 'complete']) {
      const body = step === 'start' ? { code: startCode } : undefined;
      expect((await instance.clientFor(third).act(id, step, body)).status).toBe(200);
    }
    const { items } = (await asRider.send('GET', `/v1/trips/${id}/history`)).parseAs(TripHistory);
    histories.push(items.map(({ at: _, actorId, ...entry }) => ({ ...entry, hasActor: actorId !== null })));
    await instance.stop();
  }
  expect(histories[0]).toHaveLength(10);
  expect(histories[1]).toEqual(histories[0] ?? []);
});

test('a redelivered event changes nothing', async () => {
  const instance = harness.createInstance({ DISPATCH_MODE: 'events' });
  await instance.start();
  const city = harness.createCity();
  const [near, far] = [city.addDriver(300), city.addDriver(900)];
  const rider = city.addRider();
  const { id } = (await instance.clientFor(rider).create(rider.addQuote())).trip;
  await isOffered(instance, near, id);
  await instance.clientFor(near).act(id, 'decline', {});
  await isOffered(instance, far, id);
  const before = (await instance.clientFor(rider).get(id)).trip;
  const searched = harness.drivers.queries.length;
  await until(() => harness.eventsOf(id).length === 4, { describe: 'the events of two offers' });
  await harness.bus.publish(harness.eventsOf(id));
  await until(() => harness.eventsOf(id).length === 8, { describe: 'the events to be delivered again' });
  expect((await instance.clientFor(rider).get(id)).trip).toEqual(before);
  expect(harness.drivers.queries.length).toBe(searched);
  await instance.stop();
});

describe('a dispatch window', () => {
  test('matches the requests collected in it at the least total time to the pickups', async () => {
    const instance = harness.createInstance({ DISPATCH_MODE: 'events', DISPATCH_WINDOW_MS: '500' });
    await instance.start();
    const city = harness.createCity();
    // The first rider is nearest to both drivers. The second rider can only be reached by `west`.
    const [west, east] = [city.addDriver(-200), city.addDriver(2_500)];
    const [first, second] = [city.addRider(), city.addRider()];
    const farWest = { lat: 10.7725, lng: pickupLng() - 0.16 };
    const firstTrip = (await instance.clientFor(first).create(first.addQuote())).trip;
    const secondTrip = (await instance.clientFor(second).create(second.addQuote({ pickup: farWest }))).trip;
    // Otherwise the window may close, and the first rider be matched alone, before the second request is in it.
    await until(() => [firstTrip, secondTrip].every(({ id }) => harness.eventsOf(id).length === 1), {
      describe: 'both requests to wait in the window',
    });
    await advanceClockUntil(harness.clock, 'both offers', async () => {
      const trips = [
        await instance.clientFor(first).get(firstTrip.id),
        await instance.clientFor(second).get(secondTrip.id),
      ];
      return trips.every(({ trip }) => trip.status === 'offered');
    });
    expect((await instance.clientFor(east).get(firstTrip.id)).status).toBe(200);
    expect((await instance.clientFor(west).get(secondTrip.id)).status).toBe(200);
    expect((await decisionsOf(firstTrip.id))[0]?.decision.matchedTrips).toBe(2);
    await instance.stop();

    function pickupLng(): number {
      return harness.drivers.positionOf(west.id).lng;
    }
  });
});

test('a driver can get other offers as soon as the cancellation of their trip is published', async () => {
  const instance = harness.createInstance({ DISPATCH_MODE: 'sync' });
  await instance.start();
  const city = harness.createCity();
  const { id, asDriver, driver } = await createTripInStatus('assigned', instance, city);
  await asDriver.act(id, 'cancel', { reason: 'flat tyre' });
  await until(() => !harness.drivers.holds.has(driver.id), { describe: 'the driver to be free' });
  const rider = city.addRider();
  const next = (await instance.clientFor(rider).create(rider.addQuote())).trip;
  expect((await instance.clientFor(driver).get(next.id)).trip.status).toBe('offered');
  await instance.stop();
});

describe('if between the search and the offer', () => {
  afterEach(() => {
    harness.drivers.beforeHold = () => undefined;
  });
  const otherCar = { product: 'car', plate: '51K-777.77', model: 'Accent', colour: 'black' } as const;

  test('a driver changes the vehicle, the rider sees the vehicle that the driver arrives with', async () => {
    const instance = harness.createInstance({ DISPATCH_MODE: 'sync' });
    const city = harness.createCity();
    const [rider, driver] = [city.addRider(), city.addDriver()];
    harness.drivers.beforeHold = (driverId) => harness.drivers.changeVehicle(driverId, otherCar);
    const { id } = (await instance.clientFor(rider).create(rider.addQuote())).trip;
    const accepted = await instance.clientFor(driver).act(id, 'accept');
    expect(accepted.trip.vehicle).toEqual(otherCar);
    expect((await instance.clientFor(rider).get(id)).trip.vehicle).toEqual(otherCar);
  });

  test.each([
    ['takes a vehicle that does not serve the product', { ...otherCar, product: 'bike' } as const],
    ['goes offline', null],
  ])('a driver %s, the next driver gets the offer', async (_, vehicle) => {
    const instance = harness.createInstance({ DISPATCH_MODE: 'sync' });
    const city = harness.createCity();
    const [rider, near, far] = [city.addRider(), city.addDriver(100), city.addDriver(900)];
    harness.drivers.beforeHold = (driverId) => {
      if (driverId === near.id) harness.drivers.changeVehicle(driverId, vehicle);
    };
    const { id } = (await instance.clientFor(rider).create(rider.addQuote())).trip;
    expect((await instance.clientFor(near).get(id)).code).toBe('trip.not_found');
    expect((await instance.clientFor(far).get(id)).trip.status).toBe('offered');
    const [made] = await decisionsOf(id);
    expect(made?.decision).toMatchObject({ chosen: far.id, taken: [near.id] });
  });
});
