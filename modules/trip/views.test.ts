import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { Page } from '@contracts/common.ts';
import { ActiveTrips, Trip, TripHistory } from '@contracts/trips.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { serviceAuthHeaders } from '@testing/service-auth.ts';
import type { TestTripClient } from './testing/client.ts';
import {
  createTestTrip,
  createTripInStatus,
  type TestTrip,
  type TestTripFixture,
  type TestTripInstance,
} from './testing/harness.ts';

let harness: TestTrip;
let instance: TestTripInstance;
beforeAll(async () => {
  harness = await createTestTrip();
  instance = harness.createInstance({ DISPATCH_MODE: 'sync' });
});
afterAll(async () => {
  expect(await findTripViolations(harness.sql)).toEqual([]);
  await harness.close();
});

const shared = [
  ...['id', 'status', 'version', 'vehicle', 'product', 'pickup', 'dropoff', 'distanceMetres'],
  ...['durationSeconds', 'fare', 'endedBy', 'reason', 'ratings', 'createdAt', 'updatedAt'],
];
const fields = {
  rider: [...shared, 'quoteId', 'startCode', 'driver'].sort(),
  driver: [...shared, 'rider', 'offer'].sort(),
};

/** Reads every response of this context that shows a trip to a participant. */
async function readAll(
  { id }: TestTripFixture,
  person: { id: string },
  client: TestTripClient,
): Promise<Trip[]> {
  const list = await client.send('GET', '/v1/trips');
  const active = await client.send('POST', '/internal/trip/active', {
    body: { people: [person.id] },
    headers: serviceAuthHeaders('trip', harness.clock),
  });
  return [
    (await client.get(id)).trip,
    ...list.parseAs(Page(Trip)).items,
    ...active.parseAs(ActiveTrips).items.map(({ trip }) => trip),
  ];
}

const steps = ['offered', 'assigned', 'arrived', 'in_progress', 'completed'] as const;

describe('the view of a trip', () => {
  test.each(steps)('that is %s has exactly the listed fields in every response', async (status) => {
    const trip = await createTripInStatus(status, instance, harness.createCity());
    const ofRider = await readAll(trip, trip.rider, trip.asRider);
    const ofDriver = await readAll(trip, trip.driver, trip.asDriver);
    // By id, in the list, and as an active trip. A trip that is only offered is not in the driver's list.
    expect([ofRider.length, ofDriver.length]).toEqual(
      status === 'completed' ? [2, 2] : [3, status === 'offered' ? 2 : 3],
    );
    for (const view of ofRider) expect(Object.keys(view).sort()).toEqual(fields.rider);
    for (const view of ofDriver) expect(Object.keys(view).sort()).toEqual(fields.driver);
  });

  test.each(steps)('that is %s shows the other participant only after the assignment', async (status) => {
    const trip = await createTripInStatus(status, instance, harness.createCity());
    const isAssigned = status !== 'offered';
    for (const view of await readAll(trip, trip.rider, trip.asRider))
      expect(view).toMatchObject({
        driver: isAssigned ? { name: trip.driver.name, rating: null } : null,
        vehicle: isAssigned ? { plate: trip.driver.plate } : null,
      });
    for (const view of await readAll(trip, trip.driver, trip.asDriver))
      expect(view).toMatchObject({
        rider: isAssigned ? { firstName: 'An', rating: null } : null,
        vehicle: isAssigned ? { plate: trip.driver.plate } : null,
        offer: isAssigned ? null : { expiresAt: expect.any(String) },
      });
  });

  test('never contains the id of the other participant', async () => {
    for (const status of steps) {
      const trip = await createTripInStatus(status, instance, harness.createCity());
      const read = async (client: TestTripClient) =>
        Promise.all(
          ['', `/${trip.id}`, `/${trip.id}/history`].map((path) => client.send('GET', `/v1/trips${path}`)),
        );
      for (const { text } of await read(trip.asRider)) expect(text).not.toContain(trip.driver.id);
      for (const { text } of await read(trip.asDriver)) expect(text).not.toContain(trip.rider.id);
    }
  });

  test('shows a driver with an offer nothing about earlier offers', async () => {
    const city = harness.createCity();
    const trip = await createTripInStatus('offered', instance, city);
    const next = city.addDriver(900);
    await trip.asDriver.act(trip.id, 'decline', { reason: 'this rider again' });
    const asNext = instance.clientFor(next);
    const answers = [await asNext.get(trip.id), await asNext.send('GET', `/v1/trips/${trip.id}/history`)];
    for (const { status, text } of answers) {
      expect(status).toBe(200);
      expect(text).not.toContain(trip.driver.id);
      expect(text).not.toContain('this rider again');
    }
    expect((await trip.asRider.send('GET', `/v1/trips/${trip.id}/history`)).text).not.toContain('again');
  });

  test('has a history with exactly the listed fields and no id but the reader’s own', async () => {
    const trip = await createTripInStatus('assigned', instance, harness.createCity());
    for (const [client, own, actor] of [
      [trip.asRider, trip.rider.id, 'rider'],
      [trip.asDriver, trip.driver.id, 'driver'],
    ] as const) {
      const { items } = (await client.send('GET', `/v1/trips/${trip.id}/history`)).parseAs(TripHistory);
      for (const entry of items) {
        expect(Object.keys(entry).sort()).toEqual(
          ['version', 'from', 'to', 'actor', 'actorId', 'reason', 'at'].sort(),
        );
        expect(entry.actorId as string | null).toBe(entry.actor === actor ? own : null);
      }
    }
  });
});

describe('ratings', () => {
  test('are shown as an average, to a tenth, to the other participant of the next trip', async () => {
    const city = harness.createCity();
    const [rider, driver] = [city.addRider(), city.addDriver()];
    const same = { addRider: () => rider, addDriver: () => driver };
    for (const [byRider, byDriver] of [
      [5, 4],
      [4, 4],
      [4, 5],
    ]) {
      const { id, asRider, asDriver } = await createTripInStatus('completed', instance, same);
      expect((await asRider.act(id, 'rating', { stars: byRider })).status).toBe(201);
      // A repeated rating counts once.
      await asRider.act(id, 'rating', { stars: byRider });
      await asDriver.act(id, 'rating', { stars: byDriver });
      harness.drivers.holds.clear();
    }
    const { id, asRider, asDriver } = await createTripInStatus('assigned', instance, same);
    expect((await asRider.get(id)).trip.driver).toEqual({ name: driver.name, rating: 4.3 });
    expect((await asDriver.get(id)).trip.rider).toEqual({ firstName: 'An', rating: 4.3 });
    const [row] = await harness.sql`select ratings, stars from person_ratings where person_id = ${driver.id}`;
    expect(row).toMatchObject({ ratings: 3, stars: 13 });
  });

  test('of the other participant are shown only to those who have rated', async () => {
    const { id, asRider, asDriver } = await createTripInStatus('completed', instance, harness.createCity());
    await asRider.act(id, 'rating', { stars: 1 });
    expect((await asDriver.get(id)).trip.ratings).toEqual({ byRider: null, byDriver: null });
    await asDriver.act(id, 'rating', { stars: 2 });
    expect((await asDriver.get(id)).trip.ratings).toEqual({ byRider: 1, byDriver: 2 });
  });
});

test('a token without a name creates a trip without names', async () => {
  const city = harness.createCity();
  const [rider, driver] = [city.addRider(), city.addDriver()];
  const trip = await createTripInStatus('assigned', instance, {
    addRider: () => ({ ...rider, name: null }),
    addDriver: () => ({ ...driver, name: null }),
  });
  expect((await trip.asRider.get(trip.id)).trip.driver).toEqual({ name: null, rating: null });
  expect((await trip.asDriver.get(trip.id)).trip.rider).toEqual({ firstName: null, rating: null });
});
