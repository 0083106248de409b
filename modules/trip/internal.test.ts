import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { ActiveTrips, activeTripsPeopleMax } from '@contracts/trips.ts';
import { serviceAuthHeaders } from '@testing/service-auth.ts';
import {
  createTestTrip,
  createTripInStatus,
  type TestTrip,
  type TestTripInstance,
} from './testing/harness.ts';

let world: TestTrip;
let instance: TestTripInstance;
beforeAll(async () => {
  world = await createTestTrip();
  instance = world.createInstance({ DISPATCH_MODE: 'sync' });
});
afterAll(() => world.close());

const post = (people: readonly string[]) =>
  instance.clientFor({ id: people[0] ?? '', role: 'rider' }).send('POST', '/internal/trip/active', {
    body: { people },
    headers: serviceAuthHeaders('trip', world.clock),
  });

/** The trips of these people, by person. */
async function activeOf(people: readonly string[]) {
  const { items } = (await post(people)).parseAs(ActiveTrips);
  return new Map(items.map(({ personId, trip }) => [personId as string, trip]));
}

describe('active trips', () => {
  test.each(['offered', 'assigned', 'arrived', 'in_progress'] as const)(
    'a trip that is %s is told to each of its people as they see it themselves',
    async (status) => {
      const trip = await createTripInStatus(status, instance, world.createCity());
      const active = await activeOf([trip.rider.id, trip.driver.id]);
      expect(active.get(trip.rider.id)).toEqual((await trip.asRider.get(trip.id)).trip);
      expect(active.get(trip.rider.id)?.startCode).toMatch(/^\d{4}$/);
      expect(active.get(trip.driver.id)).toEqual((await trip.asDriver.get(trip.id)).trip);
      expect(active.get(trip.driver.id)).not.toHaveProperty('startCode');
    },
  );

  test('a trip that looks for a driver is its rider’s', async () => {
    const rider = world.createCity().addRider();
    const { trip } = await instance.clientFor(rider).create(rider.addQuote());
    expect(trip.status).toBe('requested');
    expect([...(await activeOf([rider.id]))]).toEqual([[rider.id, trip]]);
  });

  test('a trip that has ended is nobody’s, and one that was declined not the driver’s', async () => {
    const ended = await createTripInStatus('completed', instance, world.createCity());
    const declined = await createTripInStatus('offered', instance, world.createCity());
    await declined.asDriver.act(declined.id, 'decline', {});
    const active = await activeOf([
      ...[ended.rider.id, ended.driver.id],
      ...[declined.rider.id, declined.driver.id],
    ]);
    expect([...active.keys()]).toEqual([declined.rider.id]);
  });

  test('of many people come each their own, and nothing of who was not asked for', async () => {
    const trips = [];
    for (let n = 0; n < 3; n++)
      trips.push(await createTripInStatus('assigned', instance, world.createCity()));
    const [first, second, other] = trips;
    const strangers = Array.from({ length: activeTripsPeopleMax - 2 }, () => world.ids<string>());
    const active = await activeOf([first?.rider.id ?? '', second?.driver.id ?? '', ...strangers]);
    expect([...active].map(([person, { id }]) => [person, id as string])).toEqual([
      [first?.rider.id ?? '', first?.id ?? ''],
      [second?.driver.id ?? '', second?.id ?? ''],
    ]);
    expect(JSON.stringify([...active])).not.toContain(other?.id ?? 'none');
  });

  test.each([
    ['nobody', []],
    ['an id that is none', ['x']],
    ['too many', Array(activeTripsPeopleMax + 1).fill('01a20438-5328-7000-be00-93adcfa25034')],
  ])('%s is refused', async (_, people) => {
    expect((await post(people)).code).toBe('request.invalid');
  });
});
