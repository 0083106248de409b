import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { TripId } from '@contracts/ids.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { until } from '@testing/until.ts';
import {
  advanceClockUntil,
  createTestTrip,
  createTripInStatus,
  type TestTrip,
  type TestTripInstance,
} from '../testing/harness.ts';

let harness: TestTrip;
/** Handles requests, but runs no timers. */
let front: TestTripInstance;
beforeAll(async () => {
  harness = await createTestTrip();
  front = harness.createInstance({ DISPATCH_MODE: 'sync' });
});
afterEach(async () => {
  expect(await findTripViolations(harness.sql)).toEqual([]);
});
afterAll(() => harness.close());

const minuteMs = 60_000;

async function statusOf(id: TripId): Promise<string> {
  const [row] = await harness.sql<{ status: string }[]>`select status from trips where id = ${id}`;
  return row?.status ?? 'none';
}

describe('the system ends a trip without progress', () => {
  const cases = [
    ['assigned', 45 * minuteMs, 'cancelled', 'pickup_timeout'],
    ['arrived', 15 * minuteMs, 'cancelled', 'rider_no_show'],
    // The rider was driven, so the ride is charged with the metered fare.
    ['in_progress', 8 * 60 * minuteMs, 'completed', 'trip_stuck'],
  ] as const;

  test.each(cases)('that was %s for %d ms as %s with reason %s', async (status, limitMs, end, reason) => {
    const { id, asRider } = await createTripInStatus(status, front, harness.createCity());
    const worker = harness.createInstance({ DISPATCH_MODE: 'sync' });
    await worker.start();
    await harness.clock.advance(limitMs - 1_000);
    expect(await statusOf(id)).toBe(status);
    await advanceClockUntil(harness.clock, 'the end', async () => (await statusOf(id)) === end);
    expect((await asRider.get(id)).trip).toMatchObject({ endedBy: 'system', reason });
    await until(() => harness.eventsOf(id).at(-1)?.data.status === end, { describe: 'the event of the end' });
    expect(harness.eventsOf(id).at(-1)?.data.fareRule).toBe(end === 'completed' ? 'metered' : undefined);
    await worker.stop();
  });
});

test('timers survive the process: those that became due while no instance ran are run by the next one', async () => {
  const before = harness.createInstance({ DISPATCH_MODE: 'sync' });
  await before.start();
  const city = harness.createCity();
  const offered = await createTripInStatus('offered', before, city);
  const arrived = await createTripInStatus('arrived', before, harness.createCity());
  const next = city.addDriver(2_000);
  await before.stop();

  await harness.clock.advance(16 * minuteMs);
  expect(await statusOf(offered.id)).toBe('offered');
  expect((await front.clientFor(offered.driver).act(offered.id, 'accept')).code).toBe('trip.offer_expired');

  const after = harness.createInstance({ DISPATCH_MODE: 'sync', SEARCH_TIMEOUT_SECONDS: '3600' });
  await after.start();
  await advanceClockUntil(
    harness.clock,
    'the search to end',
    async () => (await statusOf(offered.id)) === 'unfulfilled',
  );
  await advanceClockUntil(
    harness.clock,
    'the no-show',
    async () => (await statusOf(arrived.id)) === 'cancelled',
  );
  // The search time was over long before, so no other driver gets an offer.
  expect((await front.clientFor(next).get(offered.id)).code).toBe('trip.not_found');
  await after.stop();
});

test('several instances share the timers, and each offer lapses once', async () => {
  const workers = [1, 2, 3].map(() => harness.createInstance({ DISPATCH_MODE: 'sync' }));
  const trips: TripId[] = [];
  for (let count = 0; count < 60; count++)
    trips.push((await createTripInStatus('offered', front, harness.createCity())).id);
  await Promise.all(workers.map((worker) => worker.start()));
  await harness.clock.advance(15_000);
  await advanceClockUntil(harness.clock, 'all to lapse', async () => {
    const [row] = await harness.sql<{ lapsed: number }[]>`
      select count(*)::int as lapsed from trip_history
      where trip_id = any (${trips}::uuid[]) and from_status = 'offered' and actor = 'system'`;
    return row?.lapsed === 60;
  });
  const twice = await harness.sql`
    select trip_id from trip_history where trip_id = any (${trips}::uuid[]) and from_status = 'offered'
    group by trip_id having count(*) > 1`;
  expect([...twice]).toEqual([]);
  await Promise.all(workers.map((worker) => worker.stop()));
});

test('a timer is claimed again if the instance that claimed it died', async () => {
  const { id } = await createTripInStatus('offered', front, harness.createCity());
  await harness.clock.advance(20_000);
  // As if a process had claimed the timer and was killed before it ran it.
  await harness.sql`update trips set timer_at_ms = ${harness.clock.nowMs() + 1_500} where id = ${id}`;
  const worker = harness.createInstance({ DISPATCH_MODE: 'sync' });
  await worker.start();
  await advanceClockUntil(harness.clock, 'the lapse', async () => (await statusOf(id)) === 'requested');
  await worker.stop();
});

test('offers lapse and no-shows end on time while the driver service hangs', async () => {
  const offered = await createTripInStatus('offered', front, harness.createCity());
  const arrived = await createTripInStatus('arrived', front, harness.createCity());
  // More searching trips than searches may be in flight.
  harness.drivers.isReachable = false;
  const riders = Array.from({ length: 230 }, () => harness.createCity().addRider());
  await Promise.all(riders.map((rider) => front.clientFor(rider).create(rider.addQuote())));
  harness.drivers.isReachable = true;
  const letGo = harness.drivers.hang();
  const worker = harness.createInstance({
    DISPATCH_MODE: 'sync',
    NO_SHOW_MINUTES: '1',
    SEARCH_TIMEOUT_SECONDS: '3600',
  });
  await worker.start();
  await advanceClockUntil(
    harness.clock,
    'the limit to be reached',
    () => harness.drivers.waitingCalls() === 200,
  );

  const startedAtMs = harness.clock.nowMs();
  await harness.clock.advance(15_000);
  await advanceClockUntil(
    harness.clock,
    'the lapse',
    async () => (await statusOf(offered.id)) === 'requested',
  );
  expect(harness.clock.nowMs() - startedAtMs).toBeLessThan(25_000);
  await harness.sql`update trips set timer_at_ms = ${harness.clock.nowMs()} where id = ${arrived.id}`;
  await advanceClockUntil(
    harness.clock,
    'the no-show',
    async () => (await statusOf(arrived.id)) === 'cancelled',
  );
  expect(harness.drivers.waitingCalls()).toBe(200);

  letGo();
  await advanceClockUntil(
    harness.clock,
    'all searches to continue',
    () => harness.drivers.waitingCalls() === 0,
  );
  await worker.stop();
});
