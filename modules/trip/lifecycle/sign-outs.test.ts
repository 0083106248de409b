import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { TripId } from '@contracts/ids.ts';
import type { TripStatus } from '@contracts/trips.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { signedOutEvent } from '@testing/events.ts';
import { until } from '@testing/until.ts';
import type { TestTripClient } from '../testing/client.ts';
import {
  createTestTrip,
  createTripInStatus,
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

const becomes = (client: TestTripClient, id: TripId, status: TripStatus) =>
  until(async () => (await client.get(id)).trip.status === status, { describe: `the trip to be ${status}` });
/** The stored history: participants do not see why their driver was replaced. */
const historyOf = (id: TripId) => harness.sql<{ from: string; to: string; actor: string; reason: string }[]>`
  select from_status as "from", to_status as "to", actor, reason from trip_history
  where trip_id = ${id} order by version`;

type Facts = Partial<Parameters<typeof signedOutEvent>[1]>;

async function signOut(personId: string, facts: Facts = {}): Promise<void> {
  await harness.bus.publish([signedOutEvent(personId, { atMs: harness.clock.nowMs(), ...facts })]);
}

describe.each(['events', 'sync'])('in dispatch mode %s, when a driver signs out', (DISPATCH_MODE) => {
  let instance: TestTripInstance;
  /** Creates the trips; runs no workers. */
  let front: TestTripInstance;
  beforeAll(async () => {
    instance = harness.createInstance({ DISPATCH_MODE });
    front = harness.createInstance({ DISPATCH_MODE: 'sync' });
    await instance.start();
  });
  afterAll(() => instance.stop());

  test.each([
    ['logout', 'driver_signed_out'],
    ['reuse', 'driver_signed_out'],
    ['banned', 'driver_banned'],
  ] as const)(
    'with an open offer (%s), it lapses at once, and the next driver gets an offer',
    async (cause, reason) => {
      const city = harness.createCity();
      const { id, asDriver, driver } = await createTripInStatus('offered', front, city);
      const next = city.addDriver(2_000);
      await signOut(driver.id, { cause });
      await until(async () => (await instance.clientFor(next).get(id)).status === 200, {
        describe: 'the next offer',
      });
      expect((await historyOf(id))[2]).toEqual({
        from: 'offered',
        to: 'requested',
        actor: 'system',
        reason,
      });
      expect((await asDriver.act(id, 'accept')).code).toBe('trip.offer_expired');
      await until(() => harness.eventsOf(id).length >= 4);
      expect(harness.eventsOf(id)[2]).toMatchObject({
        type: 'trip.offer_lapsed.v1',
        data: { offeredDriverId: driver.id },
      });
    },
  );

  test.each(['assigned', 'arrived'] as const)(
    'banned while %s, the rider keeps trip and quote and gets another driver',
    async (status) => {
      const city = harness.createCity();
      const { id, asRider, asDriver, driver, startCode } = await createTripInStatus(status, front, city);
      const before = (await asRider.get(id)).trip;
      const next = city.addDriver(2_000);
      await signOut(driver.id, { cause: 'banned' });
      await until(async () => (await instance.clientFor(next).get(id)).status === 200, {
        describe: 'the next offer',
      });
      const accepted = await instance.clientFor(next).act(id, 'accept');
      expect(accepted.trip).toMatchObject({ status: 'assigned', vehicle: { plate: next.plate } });
      const { fare, quoteId } = before;
      expect((await asRider.get(id)).trip).toMatchObject({
        ...{ fare, quoteId, startCode, vehicle: { plate: next.plate } },
      });
      expect(await historyOf(id)).toContainEqual({
        from: status,
        to: 'requested',
        actor: 'system',
        reason: 'driver_banned',
      });
      expect((await asDriver.act(id, 'arrive')).code).toBe('trip.not_found');
      await until(() => harness.eventsOf(id).some(({ type }) => type === 'trip.driver_replaced.v1'));
      const replaced = harness.eventsOf(id).find(({ type }) => type === 'trip.driver_replaced.v1');
      expect(replaced?.data).toMatchObject({
        status: 'requested',
        driverId: null,
        vehicle: null,
        replacedDriverId: driver.id,
        reason: 'driver_banned',
      });
    },
  );

  test('by logout while assigned, or by a ban during the ride, the trip goes on', async () => {
    const assigned = await createTripInStatus('assigned', front, harness.createCity());
    const riding = await createTripInStatus('in_progress', front, harness.createCity());
    await signOut(assigned.driver.id, { cause: 'logout' });
    await signOut(riding.driver.id, { cause: 'banned' });
    // Published after the others: when it is handled, so are they.
    const sentinel = await createTripInStatus('offered', front, harness.createCity());
    await signOut(sentinel.driver.id);
    await becomes(sentinel.asRider, sentinel.id, 'requested');
    expect((await assigned.asRider.get(assigned.id)).trip.status).toBe('assigned');
    expect((await riding.asRider.get(riding.id)).trip.status).toBe('in_progress');
    expect((await assigned.asDriver.act(assigned.id, 'arrive')).status).toBe(200);
    expect((await riding.asDriver.act(riding.id, 'complete')).status).toBe(200);
  });

  test('and the event arrives after the driver is back and has a new offer, nothing changes', async () => {
    const { id, asRider, driver } = await createTripInStatus('offered', front, harness.createCity());
    const other = await createTripInStatus('assigned', front, harness.createCity());
    const atMs = harness.clock.nowMs() - 6_000;
    await signOut(driver.id, { cause: 'logout', atMs });
    await signOut(other.driver.id, { cause: 'banned', atMs });
    const sentinel = await createTripInStatus('offered', front, harness.createCity());
    await signOut(sentinel.driver.id);
    await becomes(sentinel.asRider, sentinel.id, 'requested');
    expect((await asRider.get(id)).trip.status).toBe('offered');
    expect((await other.asRider.get(other.id)).trip.status).toBe('assigned');
  });

  test('and the event is redelivered, the trip is reassigned once', async () => {
    const { id, asRider, driver } = await createTripInStatus('arrived', front, harness.createCity());
    const event = signedOutEvent(driver.id, { atMs: harness.clock.nowMs(), cause: 'banned' });
    await harness.bus.publish([event, event]);
    await becomes(asRider, id, 'requested');
    const sentinel = await createTripInStatus('offered', front, harness.createCity());
    await signOut(sentinel.driver.id);
    await becomes(sentinel.asRider, sentinel.id, 'requested');
    const back = (await historyOf(id)).filter(({ from, to }) => from === 'arrived' && to === 'requested');
    expect(back).toHaveLength(1);
  });
});
