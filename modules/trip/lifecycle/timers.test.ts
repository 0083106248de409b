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

let world: TestTrip;
/** Serves requests, runs no timers. */
let front: TestTripInstance;
beforeAll(async () => {
  world = await createTestTrip();
  front = world.createInstance({ DISPATCH_MODE: 'sync' });
});
afterEach(async () => {
  expect(await findTripViolations(world.sql)).toEqual([]);
});
afterAll(() => world.close());

const minuteMs = 60_000;

async function statusOf(id: TripId): Promise<string> {
  const [row] = await world.sql<{ status: string }[]>`select status from trips where id = ${id}`;
  return row?.status ?? 'none';
}

describe('a trip that nobody moves on is ended by the system', () => {
  const cases = [
    ['assigned', 45 * minuteMs, 'cancelled', 'pickup_timeout'],
    ['arrived', 15 * minuteMs, 'cancelled', 'rider_no_show'],
    // The rider was driven: it is charged, by the meter.
    ['in_progress', 8 * 60 * minuteMs, 'completed', 'trip_stuck'],
  ] as const;

  test.each(cases)('%s for %d ms: %s, %s', async (status, limitMs, end, reason) => {
    const { id, asRider } = await createTripInStatus(status, front, world.createCity());
    const worker = world.createInstance({ DISPATCH_MODE: 'sync' });
    await worker.start();
    await world.clock.advance(limitMs - 1_000);
    expect(await statusOf(id)).toBe(status);
    await advanceClockUntil(world.clock, 'the end', async () => (await statusOf(id)) === end);
    expect((await asRider.get(id)).trip).toMatchObject({ endedBy: 'system', reason });
    await until(() => world.eventsOf(id).at(-1)?.data.status === end, { describe: 'the event of the end' });
    expect(world.eventsOf(id).at(-1)?.data.fareRule).toBe(end === 'completed' ? 'metered' : undefined);
    await worker.stop();
  });
});

test('timers outlive the process: what came due while nobody ran is done by the next one', async () => {
  const before = world.createInstance({ DISPATCH_MODE: 'sync' });
  await before.start();
  const scene = world.createCity();
  const offered = await createTripInStatus('offered', before, scene);
  const arrived = await createTripInStatus('arrived', before, world.createCity());
  const next = scene.addDriver(2_000);
  await before.stop();

  await world.clock.advance(16 * minuteMs);
  expect(await statusOf(offered.id)).toBe('offered');
  expect((await front.clientFor(offered.driver).act(offered.id, 'accept')).code).toBe('trip.offer_expired');

  const after = world.createInstance({ DISPATCH_MODE: 'sync', SEARCH_TIMEOUT_SECONDS: '3600' });
  await after.start();
  await advanceClockUntil(
    world.clock,
    'the search to end',
    async () => (await statusOf(offered.id)) === 'unfulfilled',
  );
  await advanceClockUntil(
    world.clock,
    'the no-show',
    async () => (await statusOf(arrived.id)) === 'cancelled',
  );
  // Its search was over long ago: nobody else is bothered.
  expect((await front.clientFor(next).get(offered.id)).code).toBe('trip.not_found');
  await after.stop();
});

test('several instances share the timers: each lapse happens once', async () => {
  const workers = [1, 2, 3].map(() => world.createInstance({ DISPATCH_MODE: 'sync' }));
  const trips: TripId[] = [];
  for (let count = 0; count < 60; count++)
    trips.push((await createTripInStatus('offered', front, world.createCity())).id);
  await Promise.all(workers.map((worker) => worker.start()));
  await world.clock.advance(15_000);
  await advanceClockUntil(world.clock, 'all to lapse', async () => {
    const [row] = await world.sql<{ lapsed: number }[]>`
      select count(*)::int as lapsed from trip_history
      where trip_id = any (${trips}::uuid[]) and from_status = 'offered' and actor = 'system'`;
    return row?.lapsed === 60;
  });
  const twice = await world.sql`
    select trip_id from trip_history where trip_id = any (${trips}::uuid[]) and from_status = 'offered'
    group by trip_id having count(*) > 1`;
  expect([...twice]).toEqual([]);
  await Promise.all(workers.map((worker) => worker.stop()));
});

test('a timer whose taker died rings again', async () => {
  const { id } = await createTripInStatus('offered', front, world.createCity());
  await world.clock.advance(20_000);
  // As a process does that is killed right after: it took the timer, and did nothing.
  await world.sql`update trips set timer_at_ms = ${world.clock.nowMs() + 1_500} where id = ${id}`;
  const worker = world.createInstance({ DISPATCH_MODE: 'sync' });
  await worker.start();
  await advanceClockUntil(world.clock, 'the lapse', async () => (await statusOf(id)) === 'requested');
  await worker.stop();
});

test('while the driver service hangs, offers lapse and no-shows end as punctually as ever', async () => {
  const offered = await createTripInStatus('offered', front, world.createCity());
  const arrived = await createTripInStatus('arrived', front, world.createCity());
  // More trips that search than may be searched for at the same time.
  world.drivers.isReachable = false;
  const riders = Array.from({ length: 230 }, () => world.createCity().addRider());
  await Promise.all(riders.map((rider) => front.clientFor(rider).create(rider.addQuote())));
  world.drivers.isReachable = true;
  const letGo = world.drivers.hang();
  const worker = world.createInstance({
    DISPATCH_MODE: 'sync',
    NO_SHOW_MINUTES: '1',
    SEARCH_TIMEOUT_SECONDS: '3600',
  });
  await worker.start();
  await advanceClockUntil(world.clock, 'the bound to be reached', () => world.drivers.waitingCalls() === 200);

  const startedAtMs = world.clock.nowMs();
  await world.clock.advance(15_000);
  await advanceClockUntil(world.clock, 'the lapse', async () => (await statusOf(offered.id)) === 'requested');
  expect(world.clock.nowMs() - startedAtMs).toBeLessThan(25_000);
  await world.sql`update trips set timer_at_ms = ${world.clock.nowMs()} where id = ${arrived.id}`;
  await advanceClockUntil(
    world.clock,
    'the no-show',
    async () => (await statusOf(arrived.id)) === 'cancelled',
  );
  expect(world.drivers.waitingCalls()).toBe(200);

  letGo();
  await advanceClockUntil(world.clock, 'all searches to go on', () => world.drivers.waitingCalls() === 0);
  await worker.stop();
});
