import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { ActiveTrips, activeTripsPeopleMax } from '@contracts/trips.ts';
import { serviceAuthHeaders } from '@testing/service-auth.ts';
import {
  createTestTrip,
  createTripInStatus,
  type TestTrip,
  type TestTripInstance,
} from './testing/harness.ts';

let harness: TestTrip;
let instance: TestTripInstance;
beforeAll(async () => {
  harness = await createTestTrip();
  instance = harness.createInstance({ DISPATCH_MODE: 'sync' });
});
afterAll(() => harness.close());

const post = (people: readonly string[]) =>
  instance.clientFor({ id: people[0] ?? '', role: 'rider' }).send('POST', '/internal/trip/active', {
    body: { people },
    headers: serviceAuthHeaders('trip', harness.clock),
  });

/** The trips of these people, by person. */
async function activeOf(people: readonly string[]) {
  const { items } = (await post(people)).parseAs(ActiveTrips);
  return new Map(items.map(({ personId, trip }) => [personId as string, trip]));
}

describe('POST /internal/trip/active', () => {
  test.each(['offered', 'assigned', 'arrived', 'in_progress'] as const)(
    'shows a trip that is %s to each participant as in their own view',
    async (status) => {
      const trip = await createTripInStatus(status, instance, harness.createCity());
      const active = await activeOf([trip.rider.id, trip.driver.id]);
      expect(active.get(trip.rider.id)).toEqual((await trip.asRider.get(trip.id)).trip);
      expect(active.get(trip.rider.id)?.startCode).toMatch(/^\d{4}$/);
      expect(active.get(trip.driver.id)).toEqual((await trip.asDriver.get(trip.id)).trip);
      expect(active.get(trip.driver.id)).not.toHaveProperty('startCode');
    },
  );

  test('returns a trip without a driver for its rider', async () => {
    const rider = harness.createCity().addRider();
    const { trip } = await instance.clientFor(rider).create(rider.addQuote());
    expect(trip.status).toBe('requested');
    expect([...(await activeOf([rider.id]))]).toEqual([[rider.id, trip]]);
  });

  test('returns no ended trip, and no declined trip for the driver', async () => {
    const ended = await createTripInStatus('completed', instance, harness.createCity());
    const declined = await createTripInStatus('offered', instance, harness.createCity());
    await declined.asDriver.act(declined.id, 'decline', {});
    const active = await activeOf([
      ...[ended.rider.id, ended.driver.id],
      ...[declined.rider.id, declined.driver.id],
    ]);
    expect([...active.keys()]).toEqual([declined.rider.id]);
  });

  test('returns only the trips of the people in the request', async () => {
    const trips = [];
    for (let n = 0; n < 3; n++)
      trips.push(await createTripInStatus('assigned', instance, harness.createCity()));
    const [first, second, other] = trips;
    const strangers = Array.from({ length: activeTripsPeopleMax - 2 }, () => harness.ids<string>());
    const active = await activeOf([first?.rider.id ?? '', second?.driver.id ?? '', ...strangers]);
    expect([...active].map(([person, { id }]) => [person, id as string])).toEqual([
      [first?.rider.id ?? '', first?.id ?? ''],
      [second?.driver.id ?? '', second?.id ?? ''],
    ]);
    expect(JSON.stringify([...active])).not.toContain(other?.id ?? 'none');
  });

  test.each([
    ['no people', []],
    ['invalid ids', ['x']],
    ['too many people', Array(activeTripsPeopleMax + 1).fill('01a20438-5328-7000-be00-93adcfa25034')],
  ])('rejects a list of %s', async (_, people) => {
    expect((await post(people)).code).toBe('request.invalid');
  });
});
