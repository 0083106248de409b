import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { DriverId } from '@contracts/ids.ts';
import { createTestDatabase, type TestDatabase } from '@testing/postgres.ts';
import { createPlannedDatabase, type PlannedDatabase } from '@testing/query-plans.ts';
import { createTestDriver, type TestDriver } from '../testing/harness.ts';
import { createDriverStore, type DriverStore } from './drivers.ts';
import { createTrackStore, type TrackStore } from './tracks.ts';

let testDatabase: TestDatabase;
let driver: TestDriver;
let planned: PlannedDatabase;
let store: DriverStore;
let tracks: TrackStore;
beforeAll(async () => {
  testDatabase = await createTestDatabase();
  driver = await createTestDriver({ databaseUrl: testDatabase.url });
  await fill(driver);
  planned = createPlannedDatabase(testDatabase.url, 'driver');
  store = createDriverStore(planned.database);
  tracks = createTrackStore(planned.database);
}, 30_000);
afterAll(async () => {
  await planned.close();
  await driver.close();
  await testDatabase.drop();
}, 30_000);

const driverIdOf = (n: number) => `00000001-0000-7000-8000-${String(n).padStart(12, '0')}` as DriverId;

/** 5,000 drivers, 50 of them with an open offer, and four changes of each. */
async function fill({ database: { primary: sql }, clock }: TestDriver): Promise<void> {
  const nowMs = clock.nowMs();
  await sql`
    insert into drivers (id, version, status, wants, engagements, forgotten_until_ms, offers_expire_at_ms, updated_at_ms)
    select ('00000001-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 4, 'offline', 'offline', '[]', 0,
           case when n <= 50 then ${nowMs}::bigint + n end, ${nowMs}
    from generate_series(1, 5000) as n`;
  await sql`
    insert into driver_history (driver_id, version, from_status, to_status, cause, at_ms)
    select id, v, 'offline', 'offline', 'test', ${nowMs}::bigint - n
    from (select id, row_number() over () as n from drivers) as d, generate_series(1, 4) as v`;
  await sql`
    insert into trip_tracks (trip_id, recorded_at_ms, driver_id, lat, lng)
    select id, ${nowMs}::bigint - n * 10 - v, id, 10, 106
    from (select id, row_number() over () as n from drivers) as d, generate_series(1, 4) as v`;
  await sql`analyze`;
}

const nowMs = () => driver.clock.nowMs();

test.each<[string, string, () => Promise<unknown>]>([
  ['one driver', 'drivers_pkey', () => store.find(driverIdOf(77))],
  [
    'the drivers of a batch of positions',
    'drivers_pkey',
    () => store.loadAvailabilities([1, 2, 3].map(driverIdOf)),
  ],
  [
    'drivers with expired offers',
    'drivers_offers_expire',
    () => store.findWithExpiredOffers(nowMs() + 10, 100),
  ],
  [
    'the track of a trip',
    'trip_tracks_pkey',
    () => tracks.findPoints(driverIdOf(3) as never, 0, nowMs(), 100),
  ],
  [
    'saving track points',
    'driver_history_pkey',
    () => tracks.addPoints([{ driverId: driverIdOf(3), point: { lat: 1, lng: 1 }, recordedAtMs: nowMs() }]),
  ],
  ['expired track points', 'trip_tracks_at', () => tracks.sweep(nowMs() - 4_990, 10)],
  ['expired history', 'driver_history_at', () => store.sweepHistory(nowMs() - 4_990, 10)],
])('the query for %s uses the index %s', async (_, index, work) => {
  const plan = await planned.plansOf(work);
  expect(plan).toContain(index);
  expect(plan).not.toMatch(/Seq Scan on (driver|trip_tracks)/);
});

test('the sweep deletes expired history, oldest first and in bounded steps', async () => {
  const [before] = await driver.database.primary<
    { count: number }[]
  >`select count(*)::int as count from driver_history`;
  expect(await store.sweepHistory(nowMs() - 4_980, 30)).toBe(30);
  expect(await store.sweepHistory(nowMs() - 4_980, 1_000)).toBeLessThan(1_000);
  expect(await store.sweepHistory(nowMs() - 4_980, 1_000)).toBe(0);
  const [after] = await driver.database.primary<{ count: number; oldest: number }[]>`
    select count(*)::int as count, min(at_ms) as oldest from driver_history`;
  expect(after?.count).toBeLessThan(before?.count ?? 0);
  expect(after?.oldest).toBe(nowMs() - 4_980);
});
