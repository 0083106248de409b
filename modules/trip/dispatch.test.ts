import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { TripId } from '@contracts/ids.ts';
import { TripHistory, type TripStatus } from '@contracts/trips.ts';
import { tripInvariants } from '@invariants/trips.ts';
import {
  advanceUntil,
  bringTo,
  createTestTrip,
  type Scene,
  type TestTrip,
  type TripClient,
  type TripInstance,
} from '@testing/trip.ts';
import { until } from '@testing/until.ts';

let world: TestTrip;
beforeAll(async () => {
  world = await createTestTrip();
});
afterEach(async () => {
  expect(await tripInvariants(world.sql)).toEqual([]);
});
afterAll(() => world.close());

const reaches = (client: TripClient, id: TripId, status: TripStatus) =>
  advanceUntil(world.clock, `the trip to be ${status}`, async () => {
    const { trip } = await client.get(id);
    return trip.status === status ? trip : undefined;
  });
const isOffered = (instance: TripInstance, driver: ReturnType<Scene['driver']>, id: TripId) =>
  until(async () => (await instance.as(driver).get(id)).status === 200, { describe: 'the offer' });

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
  let instance: TripInstance;
  beforeAll(async () => {
    instance = world.instance({ DISPATCH_MODE });
    await instance.start();
  });
  afterAll(() => instance.stop());

  test('asks the nearest first, and the next when that one declines', async () => {
    const scene = world.scene();
    const [far, near, middle] = [scene.driver(3_000), scene.driver(300), scene.driver(1_000)];
    const rider = scene.rider();
    const { id } = (await instance.as(rider).create(rider.quote())).trip;
    for (const driver of [near, middle]) {
      await isOffered(instance, driver, id);
      expect((await instance.as(driver).act(id, 'decline')).status).toBe(204);
    }
    await isOffered(instance, far, id);
    expect((await instance.as(far).act(id, 'accept')).trip).toMatchObject({
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
    const scene = world.scene();
    const [near, far] = [scene.driver(300), scene.driver(3_000)];
    const rider = scene.rider();
    const asRider = instance.as(rider);
    const { id } = (await asRider.create(rider.quote())).trip;
    await isOffered(instance, near, id);
    await world.clock.advance(15_000);
    const late = await instance.as(near).act(id, 'accept');
    expect([late.status, late.code]).toEqual([409, 'trip.offer_expired']);
    await advanceUntil(
      world.clock,
      'the next offer',
      async () => (await instance.as(far).get(id)).status === 200,
    );
    expect((await instance.as(near).act(id, 'accept')).code).toBe('trip.offer_expired');
    expect((await instance.as(far).act(id, 'accept')).status).toBe(200);
    await until(() => !world.drivers.holds.has(near.id), { describe: 'the driver to be free' });
  });

  test('leaves a trip unfulfilled when there is nobody to ask', async () => {
    const rider = world.scene().rider();
    const client = instance.as(rider);
    const { id } = (await client.create(rider.quote())).trip;
    await world.clock.advance(119_000);
    expect((await client.get(id)).trip.status).toBe('requested');
    const ended = await reaches(client, id, 'unfulfilled');
    expect(ended).toMatchObject({ endedBy: 'system', reason: 'no_drivers' });
    expect((await client.create(rider.quote())).status).toBe(201);
  });

  test('leaves a trip unfulfilled when nobody who was asked came', async () => {
    const { id, asRider } = await bringToOffered(instance);
    await world.clock.advance(15_000);
    await reaches(asRider, id, 'requested');
    await world.clock.advance(100_000);
    expect(await reaches(asRider, id, 'unfulfilled')).toMatchObject({ reason: 'search_timeout' });
  });

  test('finds a driver who turns up later', async () => {
    const scene = world.scene();
    const rider = scene.rider();
    const { id } = (await instance.as(rider).create(rider.quote())).trip;
    await world.clock.advance(10_000);
    scene.driver();
    await reaches(instance.as(rider), id, 'offered');
  });

  test('takes requests while the driver service is away, and serves them when it is back', async () => {
    const scene = world.scene();
    const rider = scene.rider();
    scene.driver();
    world.drivers.up = false;
    const created = await instance.as(rider).create(rider.quote());
    expect(created.status).toBe(201);
    await world.clock.advance(5_000);
    world.drivers.up = true;
    await reaches(instance.as(rider), created.trip.id, 'offered');
  });

  test('passes by who is held for another trip', async () => {
    const scene = world.scene();
    const [held, free] = [scene.driver(300), scene.driver(900)];
    world.drivers.holds.set(held.id, world.ids<TripId>());
    const rider = scene.rider();
    const { id } = (await instance.as(rider).create(rider.quote())).trip;
    await isOffered(instance, free, id);
  });

  test('passes by who has a trip, even when the position store has forgotten it', async () => {
    const scene = world.scene();
    const [busy, free] = [scene.driver(300), scene.driver(900)];
    const first = scene.rider();
    const { id } = (await instance.as(first).create(first.quote())).trip;
    await isOffered(instance, busy, id);
    await instance.as(busy).act(id, 'accept');
    world.drivers.holds.clear();

    const second = scene.rider();
    const next = (await instance.as(second).create(second.quote())).trip;
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
    await until(() => world.toldOf(id).at(-1)?.type === 'trip.cancelled.v1');
    expect(world.toldOf(id).at(-1)?.data).toMatchObject({ offeredDriverId: driver.id, endedBy: 'rider' });
  });

  async function bringToOffered(on: TripInstance) {
    const scene = world.scene();
    const [rider, driver] = [scene.rider(), scene.driver()];
    const [asRider, asDriver] = [on.as(rider), on.as(driver)];
    const { id } = (await asRider.create(rider.quote())).trip;
    await isOffered(on, driver, id);
    return { id, asRider, asDriver, driver };
  }
});

test('both modes lead to the same history', async () => {
  const histories = [];
  for (const DISPATCH_MODE of ['events', 'sync']) {
    const instance = world.instance({ DISPATCH_MODE });
    await instance.start();
    const scene = world.scene();
    const [first, second, third] = [scene.driver(300), scene.driver(900), scene.driver(1_500)];
    const rider = scene.rider();
    const asRider = instance.as(rider);
    const { id, startCode } = (await asRider.create(rider.quote())).trip;
    await isOffered(instance, first, id);
    await instance.as(first).act(id, 'decline', { reason: 'too far' });
    await isOffered(instance, second, id);
    await world.clock.advance(15_000);
    await advanceUntil(
      world.clock,
      'third offer',
      async () => (await instance.as(third).get(id)).status === 200,
    );
    for (const step of ['accept', 'arrive', 'start', 'complete']) {
      const body = step === 'start' ? { code: startCode } : undefined;
      expect((await instance.as(third).act(id, step, body)).status).toBe(200);
    }
    const { items } = (await asRider.send('GET', `/v1/trips/${id}/history`)).as(TripHistory);
    histories.push(items.map(({ at: _, actorId, ...entry }) => ({ ...entry, hasActor: actorId !== null })));
    await instance.stop();
  }
  expect(histories[0]).toHaveLength(10);
  expect(histories[1]).toEqual(histories[0] ?? []);
});

test('an event that comes again changes nothing', async () => {
  const instance = world.instance({ DISPATCH_MODE: 'events' });
  await instance.start();
  const scene = world.scene();
  const [near, far] = [scene.driver(300), scene.driver(900)];
  const rider = scene.rider();
  const { id } = (await instance.as(rider).create(rider.quote())).trip;
  await isOffered(instance, near, id);
  await instance.as(near).act(id, 'decline', {});
  await isOffered(instance, far, id);
  const before = (await instance.as(rider).get(id)).trip;
  const searched = world.drivers.queries.length;
  await until(() => world.toldOf(id).length === 4, { describe: 'the events of two offers' });
  await world.bus.publish(world.toldOf(id));
  await until(() => world.toldOf(id).length === 8, { describe: 'the events to be delivered again' });
  expect((await instance.as(rider).get(id)).trip).toEqual(before);
  expect(world.drivers.queries.length).toBe(searched);
  await instance.stop();
});

describe('a dispatch window', () => {
  test('matches requests that wait together, at the least time to the pickups in all', async () => {
    const instance = world.instance({ DISPATCH_MODE: 'events', DISPATCH_WINDOW_MS: '500' });
    await instance.start();
    const scene = world.scene();
    // The first rider is nearest to both drivers; the second has no choice but `west`.
    const [west, east] = [scene.driver(-200), scene.driver(2_500)];
    const [first, second] = [scene.rider(), scene.rider()];
    const farWest = { lat: 10.7725, lng: sceneLng() - 0.16 };
    const one = (await instance.as(first).create(first.quote())).trip;
    const two = (await instance.as(second).create(second.quote({ pickup: farWest }))).trip;
    // Else the window may close, and the first rider be served alone, before the second request has reached it.
    await until(() => [one, two].every(({ id }) => world.toldOf(id).length === 1), {
      describe: 'both requests to wait in the window',
    });
    await advanceUntil(world.clock, 'both offers', async () => {
      const trips = [await instance.as(first).get(one.id), await instance.as(second).get(two.id)];
      return trips.every(({ trip }) => trip.status === 'offered');
    });
    expect((await instance.as(east).get(one.id)).status).toBe(200);
    expect((await instance.as(west).get(two.id)).status).toBe(200);
    expect((await decisionsOf(one.id))[0]?.decision.matchedTrips).toBe(2);
    await instance.stop();

    function sceneLng(): number {
      return world.drivers.positionOf(west.id).lng;
    }
  });
});

test('a driver is free for others as soon as the cancellation of a trip is published', async () => {
  const instance = world.instance({ DISPATCH_MODE: 'sync' });
  await instance.start();
  const scene = world.scene();
  const { id, asDriver, driver } = await bringTo('assigned', instance, scene);
  await asDriver.act(id, 'cancel', { reason: 'flat tyre' });
  await until(() => !world.drivers.holds.has(driver.id), { describe: 'the driver to be free' });
  const rider = scene.rider();
  const next = (await instance.as(rider).create(rider.quote())).trip;
  expect((await instance.as(driver).get(next.id)).trip.status).toBe('offered');
  await instance.stop();
});

describe('between the search and the offer', () => {
  afterEach(() => {
    world.drivers.beforeHold = () => undefined;
  });
  const otherCar = { product: 'car', plate: '51K-777.77', model: 'Accent', colour: 'black' } as const;

  test('a driver changes the vehicle: the rider is shown the one that they come with', async () => {
    const instance = world.instance({ DISPATCH_MODE: 'sync' });
    const scene = world.scene();
    const [rider, driver] = [scene.rider(), scene.driver()];
    world.drivers.beforeHold = (driverId) => world.drivers.change(driverId, otherCar);
    const { id } = (await instance.as(rider).create(rider.quote())).trip;
    const accepted = await instance.as(driver).act(id, 'accept');
    expect(accepted.trip.vehicle).toEqual(otherCar);
    expect((await instance.as(rider).get(id)).trip.vehicle).toEqual(otherCar);
  });

  test.each([
    ['takes a vehicle that does not serve the product', { ...otherCar, product: 'bike' } as const],
    ['goes offline', null],
  ])('a driver %s: the next one is asked', async (_, vehicle) => {
    const instance = world.instance({ DISPATCH_MODE: 'sync' });
    const scene = world.scene();
    const [rider, near, far] = [scene.rider(), scene.driver(100), scene.driver(900)];
    world.drivers.beforeHold = (driverId) => {
      if (driverId === near.id) world.drivers.change(driverId, vehicle);
    };
    const { id } = (await instance.as(rider).create(rider.quote())).trip;
    expect((await instance.as(near).get(id)).code).toBe('trip.not_found');
    expect((await instance.as(far).get(id)).trip.status).toBe('offered');
    const [made] = await decisionsOf(id);
    expect(made?.decision).toMatchObject({ chosen: far.id, taken: [near.id] });
  });
});
