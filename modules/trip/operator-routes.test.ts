import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { PersonId, TripId } from '@contracts/ids.ts';
import { TripRecord } from '@contracts/operators.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { until } from '@testing/until.ts';
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
let operatorId: PersonId;
let operator: TestTripClient;
beforeAll(async () => {
  harness = await createTestTrip();
  instance = harness.createInstance({ DISPATCH_MODE: 'sync' });
  await instance.start();
  operatorId = harness.ids<PersonId>();
  operator = instance.clientFor({ id: operatorId, role: 'ops' });
});
afterEach(async () => {
  expect(await findTripViolations(harness.sql)).toEqual([]);
});
afterAll(() => harness.close());

const reason = 'the driver lost their phone';
const act = (tripId: TripId, step: string, body: unknown = { reason }) =>
  operator.send('POST', `/v1/ops/trips/${tripId}/${step}`, { body });
const read = async (tripId: TripId) =>
  (await operator.send('GET', `/v1/ops/trips/${tripId}`)).parseAs(TripRecord);

const states = ['requested', 'offered', 'assigned', 'arrived', 'in_progress', 'completed'] as const;
type State = (typeof states)[number];

async function inState(
  status: State,
): Promise<Pick<TestTripFixture, 'id' | 'asRider'> & Partial<TestTripFixture>> {
  if (status !== 'requested') return createTripInStatus(status, instance, harness.createCity());
  const rider = harness.createCity().addRider();
  const asRider = instance.clientFor(rider);
  return { id: (await asRider.create(rider.addQuote())).trip.id, asRider };
}

const lastEvent = (tripId: TripId, version: number) =>
  until(() => harness.eventsOf(tripId).find(({ data }) => data.version === version), {
    describe: `the event of version ${version}`,
  });

interface Expected {
  status: string;
  event?: string;
}
const refused: Expected = { status: 'trip.wrong_state' };
const cases: [step: string, body: unknown, Record<State, Expected>][] = [
  [
    'cancel',
    { reason },
    {
      requested: { status: 'cancelled', event: 'trip.cancelled.v1' },
      offered: { status: 'cancelled', event: 'trip.cancelled.v1' },
      assigned: { status: 'cancelled', event: 'trip.cancelled.v1' },
      arrived: { status: 'cancelled', event: 'trip.cancelled.v1' },
      in_progress: { status: 'cancelled', event: 'trip.cancelled.v1' },
      completed: refused,
    },
  ],
  [
    'complete',
    { reason },
    {
      ...{ requested: refused, offered: refused, assigned: refused, arrived: refused, completed: refused },
      in_progress: { status: 'completed', event: 'trip.completed.v1' },
    },
  ],
  [
    'hand-over',
    { reason, pickup: { lat: 10.8, lng: 106.66 } },
    {
      ...{ requested: refused, completed: refused },
      offered: { status: 'requested', event: 'trip.offer_lapsed.v1' },
      assigned: { status: 'requested', event: 'trip.driver_replaced.v1' },
      arrived: { status: 'requested', event: 'trip.driver_replaced.v1' },
      in_progress: { status: 'requested', event: 'trip.driver_replaced.v1' },
    },
  ],
];

describe.each(cases)('an operator who sends %s for a trip', (step, body, expected) => {
  test.each(states)('that is %s changes it as in the table, or gets 409', async (status) => {
    const trip = await inState(status);
    const before = await read(trip.id);
    const answer = await act(trip.id, step, body);
    const { status: outcome, event } = expected[status];
    if (event === undefined) {
      expect([answer.status, answer.code]).toEqual([409, outcome]);
      expect(await read(trip.id)).toEqual(before);
      return;
    }
    expect(answer.status).toBe(200);
    const { history } = answer.parseAs(TripRecord);
    const version = before.trip.version + 1;
    expect(history[version - 1]).toMatchObject({
      ...{ version, from: status, to: outcome as never, actor: 'ops', actorId: operatorId, reason },
    });
    const published = await lastEvent(trip.id, version);
    expect<string>(published.type).toBe(event);
    expect(published.data.status as string).toBe(outcome);
  });
});

describe('an operator', () => {
  test('reads any trip with its full history, actors and reasons', async () => {
    const trip = await createTripInStatus('assigned', instance, harness.createCity());
    await trip.asDriver.act(trip.id, 'cancel', { reason: 'flat tyre' });
    const { trip: shown, history } = await read(trip.id);
    expect(shown).toMatchObject({
      ...{ riderId: trip.rider.id, driverId: trip.driver.id, offeredDriverIds: [trip.driver.id] },
      ...{ rider: { firstName: 'An' }, driver: { name: trip.driver.name }, reason: 'flat tyre' },
    });
    expect(history.map(({ actorId }) => actorId as string | null)).toEqual([
      ...[trip.rider.id, null, trip.driver.id, trip.driver.id],
    ]);
    expect(Object.keys(shown)).not.toContain('startCode');
    expect(Object.keys(shown)).not.toContain('paymentMethodId');
  });

  test('who repeats a request gets the same response, and no second history row', async () => {
    for (const step of ['cancel', 'complete']) {
      const { id } = await createTripInStatus('in_progress', instance, harness.createCity());
      const first = await act(id, step);
      const again = await act(id, step);
      expect([again.status, again.text]).toEqual([200, first.text]);
    }
  });

  test('is hidden from the participants: neither id nor reason is shown', async () => {
    const trip = await createTripInStatus('in_progress', instance, harness.createCity());
    await act(trip.id, 'cancel', { reason: 'arrested by the police' });
    for (const client of [trip.asRider, trip.asDriver]) {
      expect((await client.get(trip.id)).trip).toMatchObject({ endedBy: 'ops', reason: null });
      const { text } = await client.send('GET', `/v1/trips/${trip.id}/history`);
      expect(text).toContain('"actor":"ops"');
      expect(text).not.toContain(operatorId);
      expect(text).not.toContain('police');
    }
  });

  test('frees both participants for another trip at once', async () => {
    const city = harness.createCity();
    const trip = await createTripInStatus('in_progress', instance, city);
    await act(trip.id, 'cancel');
    await until(() => harness.drivers.holds.size === 0 || !harness.drivers.holds.has(trip.driver.id), {
      describe: 'the driver to be free',
    });
    const again = await createTripInStatus('assigned', instance, {
      addRider: () => trip.rider,
      addDriver: () => trip.driver,
    });
    expect(again.id).not.toBe(trip.id);
  });

  test('gets 404 for an unknown trip and 400 for an invalid reason, and other roles get 403', async () => {
    const { id, asRider, asDriver } = await createTripInStatus('in_progress', instance, harness.createCity());
    const before = await read(id);
    const unknown = harness.ids<TripId>();
    for (const step of ['cancel', 'complete', 'hand-over']) {
      expect((await act(unknown, step)).code).toBe('trip.not_found');
      for (const client of [asRider, asDriver])
        expect((await client.send('POST', `/v1/ops/trips/${id}/${step}`, { body: { reason } })).code).toBe(
          'auth.role_forbidden',
        );
      for (const wrong of [{}, { reason: 'no' }, { reason: 'a'.repeat(501) }, { reason, fee: 1 }, undefined])
        expect((await operator.send('POST', `/v1/ops/trips/${id}/${step}`, { body: wrong })).status).toBe(
          400,
        );
    }
    expect((await operator.send('GET', `/v1/ops/trips/${unknown}`)).code).toBe('trip.not_found');
    expect((await asRider.send('GET', `/v1/ops/trips/${id}`)).code).toBe('auth.role_forbidden');
    // Operators may not use the participants' routes.
    expect((await operator.get(id)).code).toBe('auth.role_forbidden');
    expect(await read(id)).toEqual(before);
  });

  test('completes a ride with the same fare rule as the driver', async () => {
    const { id } = await createTripInStatus('in_progress', instance, harness.createCity());
    await act(id, 'complete');
    const { data } = await lastEvent(id, 6);
    expect(data).toMatchObject({ endedBy: 'ops', fareRule: 'quoted', startedAt: expect.any(String) });
  });
});

describe('the reassignment of a trip in progress', () => {
  test('needs the new pickup', async () => {
    const { id } = await createTripInStatus('in_progress', instance, harness.createCity());
    const answer = await act(id, 'hand-over');
    expect([answer.status, answer.code]).toEqual([422, 'trip.pickup_missing']);
    expect((await read(id)).trip.status).toBe('in_progress');
  });

  test('keeps rider, quote, fare and start code, and searches from the new pickup', async () => {
    const city = harness.createCity();
    const trip = await createTripInStatus('in_progress', instance, city);
    const before = (await trip.asRider.get(trip.id)).trip;
    const next = city.addDriver(1_500);
    const place = harness.drivers.positionOf(next.id);
    const searches = harness.drivers.queries.length;
    expect((await act(trip.id, 'hand-over', { reason, pickup: place })).status).toBe(200);

    // The previous driver loses access to the trip at once.
    expect((await trip.asDriver.get(trip.id)).code).toBe('trip.not_found');
    expect((await trip.asDriver.act(trip.id, 'complete')).code).toBe('trip.not_found');
    const asNext = instance.clientFor(next);
    await until(async () => (await asNext.get(trip.id)).status === 200, { describe: 'the next offer' });
    expect(harness.drivers.queries[searches]).toMatchObject({ pickup: place, excluding: [trip.driver.id] });
    expect((await asNext.act(trip.id, 'accept')).status).toBe(200);
    await asNext.act(trip.id, 'arrive');
    expect((await asNext.act(trip.id, 'start', { code: trip.startCode })).status).toBe(200);
    await asNext.act(trip.id, 'complete');

    const after = (await trip.asRider.get(trip.id)).trip;
    expect(after).toMatchObject({
      ...{ status: 'completed', quoteId: before.quoteId, fare: before.fare, startCode: trip.startCode },
      ...{ dropoff: before.dropoff, pickup: place, vehicle: { plate: next.plate } },
    });
    const published = await lastEvent(trip.id, after.version);
    // Only the last driver's part is measured, so nothing is charged twice.
    const started = harness.eventsOf(trip.id).filter(({ type }) => type === 'trip.started.v1');
    expect(started).toHaveLength(2);
    expect(published.data).toMatchObject({
      driverId: next.id,
      startedAt: started[1]?.data.at,
      fareRule: 'quoted',
    });
  });
});
