import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { TripId } from '@contracts/ids.ts';
import { TripHistory, type TripStatus } from '@contracts/trips.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { until } from '@testing/until.ts';
import {
  advanceClockUntil,
  createTestTrip,
  createTripInStatus,
  type TestCity,
  type TestTrip,
  type TestTripClient,
  type TestTripInstance,
} from '../testing/harness.ts';

let world: TestTrip;
beforeAll(async () => {
  world = await createTestTrip();
});
afterEach(async () => {
  expect(await findTripViolations(world.sql)).toEqual([]);
});
afterAll(() => world.close());

const reaches = (client: TestTripClient, id: TripId, status: TripStatus) =>
  advanceClockUntil(world.clock, `the trip to be ${status}`, async () => {
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
  world.sql<
    DecisionRow[]
  >`select version, decision from trip_decisions where trip_id = ${id} order by version`;

describe.each(['events', 'sync'])('dispatch in mode %s', (DISPATCH_MODE) => {
  let instance: TestTripInstance;
  beforeAll(async () => {
    instance = world.createInstance({ DISPATCH_MODE });
    await instance.start();
  });
  afterAll(() => instance.stop());

  test('asks the nearest first, and the next when that one declines', async () => {
    const scene = world.createCity();
    const [far, near, middle] = [scene.addDriver(3_000), scene.addDriver(300), scene.addDriver(1_000)];
    const rider = scene.addRider();
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
    await until(() => !world.drivers.holds.has(near.id), { describe: 'the driver to be free' });
  });

  test('goes on to the next when an offer lapses; who answers late hears so', async () => {
    const scene = world.createCity();
    const [near, far] = [scene.addDriver(300), scene.addDriver(3_000)];
    const rider = scene.addRider();
    const asRider = instance.clientFor(rider);
    const { id } = (await asRider.create(rider.addQuote())).trip;
    await isOffered(instance, near, id);
    await world.clock.advance(15_000);
    const late = await instance.clientFor(near).act(id, 'accept');
    expect([late.status, late.code]).toEqual([409, 'trip.offer_expired']);
    await advanceClockUntil(
      world.clock,
      'the next offer',
      async () => (await instance.clientFor(far).get(id)).status === 200,
    );
    expect((await instance.clientFor(near).act(id, 'accept')).code).toBe('trip.offer_expired');
    expect((await instance.clientFor(far).act(id, 'accept')).status).toBe(200);
    await until(() => !world.drivers.holds.has(near.id), { describe: 'the driver to be free' });
  });

  test('leaves a trip unfulfilled when there is nobody to ask', async () => {
    const rider = world.createCity().addRider();
    const client = instance.clientFor(rider);
    const { id } = (await client.create(rider.addQuote())).trip;
    await world.clock.advance(119_000);
    expect((await client.get(id)).trip.status).toBe('requested');
    const ended = await reaches(client, id, 'unfulfilled');
    expect(ended).toMatchObject({ endedBy: 'system', reason: 'no_drivers' });
    expect((await client.create(rider.addQuote())).status).toBe(201);
  });

  test('leaves a trip unfulfilled when nobody who was asked came', async () => {
    const { id, asRider } = await bringToOffered(instance);
    await world.clock.advance(15_000);
    await reaches(asRider, id, 'requested');
    await world.clock.advance(100_000);
    expect(await reaches(asRider, id, 'unfulfilled')).toMatchObject({ reason: 'search_timeout' });
  });

  test('finds a driver who turns up later', async () => {
    const scene = world.createCity();
    const rider = scene.addRider();
    const { id } = (await instance.clientFor(rider).create(rider.addQuote())).trip;
    await world.clock.advance(10_000);
    scene.addDriver();
    await reaches(instance.clientFor(rider), id, 'offered');
  });

  test('takes requests while the driver service is away, and serves them when it is back', async () => {
    const scene = world.createCity();
    const rider = scene.addRider();
    scene.addDriver();
    world.drivers.isReachable = false;
    const created = await instance.clientFor(rider).create(rider.addQuote());
    expect(created.status).toBe(201);
    await world.clock.advance(5_000);
    world.drivers.isReachable = true;
    await reaches(instance.clientFor(rider), created.trip.id, 'offered');
  });

  test('passes by who is held for another trip', async () => {
    const scene = world.createCity();
    const [held, free] = [scene.addDriver(300), scene.addDriver(900)];
    world.drivers.holds.set(held.id, world.ids<TripId>());
    const rider = scene.addRider();
    const { id } = (await instance.clientFor(rider).create(rider.addQuote())).trip;
    await isOffered(instance, free, id);
  });

  test('passes by who has a trip, even when the position store has forgotten it', async () => {
    const scene = world.createCity();
    const [busy, free] = [scene.addDriver(300), scene.addDriver(900)];
    const first = scene.addRider();
    const { id } = (await instance.clientFor(first).create(first.addQuote())).trip;
    await isOffered(instance, busy, id);
    await instance.clientFor(busy).act(id, 'accept');
    world.drivers.holds.clear();

    const second = scene.addRider();
    const next = (await instance.clientFor(second).create(second.addQuote())).trip;
    await isOffered(instance, free, next.id);
    const [row] = await decisionsOf(next.id);
    expect(row?.decision).toMatchObject({ chosen: free.id, taken: [busy.id] });
    expect(world.drivers.holds.get(busy.id)).toBeUndefined();
  });

  test('a cancellation takes the offer back from the driver', async () => {
    const { id, asRider, asDriver, driver } = await bringToOffered(instance);
    expect((await asRider.act(id, 'cancel', { reason: 'too long' })).status).toBe(200);
    expect((await asDriver.act(id, 'accept')).code).toBe('trip.wrong_state');
    await until(() => !world.drivers.holds.has(driver.id), { describe: 'the driver to be free' });
    await until(() => world.eventsOf(id).at(-1)?.type === 'trip.cancelled.v1');
    expect(world.eventsOf(id).at(-1)?.data).toMatchObject({ offeredDriverId: driver.id, endedBy: 'rider' });
  });

  async function bringToOffered(on: TestTripInstance) {
    const scene = world.createCity();
    const [rider, driver] = [scene.addRider(), scene.addDriver()];
    const [asRider, asDriver] = [on.clientFor(rider), on.clientFor(driver)];
    const { id } = (await asRider.create(rider.addQuote())).trip;
    await isOffered(on, driver, id);
    return { id, asRider, asDriver, driver };
  }
});

test('both modes lead to the same history', async () => {
  const histories = [];
  for (const DISPATCH_MODE of ['events', 'sync']) {
    const instance = world.createInstance({ DISPATCH_MODE });
    await instance.start();
    const scene = world.createCity();
    const [first, second, third] = [scene.addDriver(300), scene.addDriver(900), scene.addDriver(1_500)];
    const rider = scene.addRider();
    const asRider = instance.clientFor(rider);
    const { id, startCode } = (await asRider.create(rider.addQuote())).trip;
    await isOffered(instance, first, id);
    await instance.clientFor(first).act(id, 'decline', { reason: 'too far' });
    await isOffered(instance, second, id);
    await world.clock.advance(15_000);
    await advanceClockUntil(
      world.clock,
      'third offer',
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

test('an event that comes again changes nothing', async () => {
  const instance = world.createInstance({ DISPATCH_MODE: 'events' });
  await instance.start();
  const scene = world.createCity();
  const [near, far] = [scene.addDriver(300), scene.addDriver(900)];
  const rider = scene.addRider();
  const { id } = (await instance.clientFor(rider).create(rider.addQuote())).trip;
  await isOffered(instance, near, id);
  await instance.clientFor(near).act(id, 'decline', {});
  await isOffered(instance, far, id);
  const before = (await instance.clientFor(rider).get(id)).trip;
  const searched = world.drivers.queries.length;
  await until(() => world.eventsOf(id).length === 4, { describe: 'the events of two offers' });
  await world.bus.publish(world.eventsOf(id));
  await until(() => world.eventsOf(id).length === 8, { describe: 'the events to be delivered again' });
  expect((await instance.clientFor(rider).get(id)).trip).toEqual(before);
  expect(world.drivers.queries.length).toBe(searched);
  await instance.stop();
});

describe('a dispatch window', () => {
  test('matches requests that wait together, at the least time to the pickups in all', async () => {
    const instance = world.createInstance({ DISPATCH_MODE: 'events', DISPATCH_WINDOW_MS: '500' });
    await instance.start();
    const scene = world.createCity();
    // The first rider is nearest to both drivers; the second has no choice but `west`.
    const [west, east] = [scene.addDriver(-200), scene.addDriver(2_500)];
    const [first, second] = [scene.addRider(), scene.addRider()];
    const farWest = { lat: 10.7725, lng: sceneLng() - 0.16 };
    const one = (await instance.clientFor(first).create(first.addQuote())).trip;
    const two = (await instance.clientFor(second).create(second.addQuote({ pickup: farWest }))).trip;
    // Else the window may close, and the first rider be served alone, before the second request has reached it.
    await until(() => [one, two].every(({ id }) => world.eventsOf(id).length === 1), {
      describe: 'both requests to wait in the window',
    });
    await advanceClockUntil(world.clock, 'both offers', async () => {
      const trips = [
        await instance.clientFor(first).get(one.id),
        await instance.clientFor(second).get(two.id),
      ];
      return trips.every(({ trip }) => trip.status === 'offered');
    });
    expect((await instance.clientFor(east).get(one.id)).status).toBe(200);
    expect((await instance.clientFor(west).get(two.id)).status).toBe(200);
    expect((await decisionsOf(one.id))[0]?.decision.matchedTrips).toBe(2);
    await instance.stop();

    function sceneLng(): number {
      return world.drivers.positionOf(west.id).lng;
    }
  });
});

test('a driver is free for others as soon as the cancellation of a trip is published', async () => {
  const instance = world.createInstance({ DISPATCH_MODE: 'sync' });
  await instance.start();
  const scene = world.createCity();
  const { id, asDriver, driver } = await createTripInStatus('assigned', instance, scene);
  await asDriver.act(id, 'cancel', { reason: 'flat tyre' });
  await until(() => !world.drivers.holds.has(driver.id), { describe: 'the driver to be free' });
  const rider = scene.addRider();
  const next = (await instance.clientFor(rider).create(rider.addQuote())).trip;
  expect((await instance.clientFor(driver).get(next.id)).trip.status).toBe('offered');
  await instance.stop();
});

describe('between the search and the offer', () => {
  afterEach(() => {
    world.drivers.beforeHold = () => undefined;
  });
  const otherCar = { product: 'car', plate: '51K-777.77', model: 'Accent', colour: 'black' } as const;

  test('a driver changes the vehicle: the rider is shown the one that they come with', async () => {
    const instance = world.createInstance({ DISPATCH_MODE: 'sync' });
    const scene = world.createCity();
    const [rider, driver] = [scene.addRider(), scene.addDriver()];
    world.drivers.beforeHold = (driverId) => world.drivers.changeVehicle(driverId, otherCar);
    const { id } = (await instance.clientFor(rider).create(rider.addQuote())).trip;
    const accepted = await instance.clientFor(driver).act(id, 'accept');
    expect(accepted.trip.vehicle).toEqual(otherCar);
    expect((await instance.clientFor(rider).get(id)).trip.vehicle).toEqual(otherCar);
  });

  test.each([
    ['takes a vehicle that does not serve the product', { ...otherCar, product: 'bike' } as const],
    ['goes offline', null],
  ])('a driver %s: the next one is asked', async (_, vehicle) => {
    const instance = world.createInstance({ DISPATCH_MODE: 'sync' });
    const scene = world.createCity();
    const [rider, near, far] = [scene.addRider(), scene.addDriver(100), scene.addDriver(900)];
    world.drivers.beforeHold = (driverId) => {
      if (driverId === near.id) world.drivers.changeVehicle(driverId, vehicle);
    };
    const { id } = (await instance.clientFor(rider).create(rider.addQuote())).trip;
    expect((await instance.clientFor(near).get(id)).code).toBe('trip.not_found');
    expect((await instance.clientFor(far).get(id)).trip.status).toBe('offered');
    const [made] = await decisionsOf(id);
    expect(made?.decision).toMatchObject({ chosen: far.id, taken: [near.id] });
  });
});
