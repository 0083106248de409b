import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { TripId } from '@contracts/ids.ts';
import { tripInvariants } from '@invariants/trips.ts';
import { advanceUntil, bringTo, createTestTrip, type TestTrip, type TripInstance } from '@testing/trip.ts';
import { until } from '@testing/until.ts';

let world: TestTrip;
/** Serves requests, runs no timers. */
let front: TripInstance;
beforeAll(async () => {
  world = await createTestTrip();
  front = world.instance({ DISPATCH_MODE: 'sync' });
});
afterEach(async () => {
  expect(await tripInvariants(world.sql)).toEqual([]);
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
    const { id, asRider } = await bringTo(status, front, world.scene());
    const worker = world.instance({ DISPATCH_MODE: 'sync' });
    await worker.start();
    await world.clock.advance(limitMs - 1_000);
    expect(await statusOf(id)).toBe(status);
    await advanceUntil(world.clock, 'the end', async () => (await statusOf(id)) === end);
    expect((await asRider.get(id)).trip).toMatchObject({ endedBy: 'system', reason });
    await until(() => world.toldOf(id).at(-1)?.data.status === end, { describe: 'the event of the end' });
    expect(world.toldOf(id).at(-1)?.data.fareRule).toBe(end === 'completed' ? 'metered' : undefined);
    await worker.stop();
  });
});

test('timers outlive the process: what came due while nobody ran is done by the next one', async () => {
  const before = world.instance({ DISPATCH_MODE: 'sync' });
  await before.start();
  const scene = world.scene();
  const offered = await bringTo('offered', before, scene);
  const arrived = await bringTo('arrived', before, world.scene());
  const next = scene.driver(2_000);
  await before.stop();

  await world.clock.advance(16 * minuteMs);
  expect(await statusOf(offered.id)).toBe('offered');
  expect((await front.as(offered.driver).act(offered.id, 'accept')).code).toBe('trip.offer_expired');

  const after = world.instance({ DISPATCH_MODE: 'sync', SEARCH_TIMEOUT_SECONDS: '3600' });
  await after.start();
  await advanceUntil(
    world.clock,
    'the search to end',
    async () => (await statusOf(offered.id)) === 'unfulfilled',
  );
  await advanceUntil(world.clock, 'the no-show', async () => (await statusOf(arrived.id)) === 'cancelled');
  // Its search was over long ago: nobody else is bothered.
  expect((await front.as(next).get(offered.id)).code).toBe('trip.not_found');
  await after.stop();
});

test('several instances share the timers: each lapse happens once', async () => {
  const workers = [1, 2, 3].map(() => world.instance({ DISPATCH_MODE: 'sync' }));
  const trips: TripId[] = [];
  for (let count = 0; count < 60; count++) trips.push((await bringTo('offered', front, world.scene())).id);
  await Promise.all(workers.map((worker) => worker.start()));
  await world.clock.advance(15_000);
  await advanceUntil(world.clock, 'all to lapse', async () => {
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
  const { id } = await bringTo('offered', front, world.scene());
  await world.clock.advance(20_000);
  // As a process does that is killed right after: it took the timer, and did nothing.
  await world.sql`update trips set timer_at_ms = ${world.clock.nowMs() + 1_500} where id = ${id}`;
  const worker = world.instance({ DISPATCH_MODE: 'sync' });
  await worker.start();
  await advanceUntil(world.clock, 'the lapse', async () => (await statusOf(id)) === 'requested');
  await worker.stop();
});

test('while the driver service hangs, offers lapse and no-shows end as punctually as ever', async () => {
  const offered = await bringTo('offered', front, world.scene());
  const arrived = await bringTo('arrived', front, world.scene());
  // More trips that search than may be searched for at the same time.
  world.drivers.up = false;
  const riders = Array.from({ length: 230 }, () => world.scene().rider());
  await Promise.all(riders.map((rider) => front.as(rider).create(rider.quote())));
  world.drivers.up = true;
  const letGo = world.drivers.hang();
  const worker = world.instance({
    DISPATCH_MODE: 'sync',
    NO_SHOW_MINUTES: '1',
    SEARCH_TIMEOUT_SECONDS: '3600',
  });
  await worker.start();
  await advanceUntil(world.clock, 'the bound to be reached', () => world.drivers.hanging() === 200);

  const startedAtMs = world.clock.nowMs();
  await world.clock.advance(15_000);
  await advanceUntil(world.clock, 'the lapse', async () => (await statusOf(offered.id)) === 'requested');
  expect(world.clock.nowMs() - startedAtMs).toBeLessThan(25_000);
  await world.sql`update trips set timer_at_ms = ${world.clock.nowMs()} where id = ${arrived.id}`;
  await advanceUntil(world.clock, 'the no-show', async () => (await statusOf(arrived.id)) === 'cancelled');
  expect(world.drivers.hanging()).toBe(200);

  letGo();
  await advanceUntil(world.clock, 'all searches to go on', () => world.drivers.hanging() === 0);
  await worker.stop();
});
