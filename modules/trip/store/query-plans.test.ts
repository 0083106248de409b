import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { asPersonId, type DriverId, type RiderId, type TripId } from '@contracts/ids.ts';
import { createReadConsistencyToken } from '@platform/postgres/read-consistency.ts';
import { createPlannedDatabase, type PlannedDatabase } from '@testing/query-plans.ts';
import { createTripEvent } from '../events.ts';
import type { TripAction } from '../lifecycle/actions.ts';
import { tripPolicyOf } from '../settings.ts';
import { decideTransition } from '../state.ts';
import { createTestTrip, type TestTrip } from '../testing/harness.ts';
import { createTripStore, type TripStore } from './store.ts';

let harness: TestTrip;
let planned: PlannedDatabase;
let store: TripStore;

beforeAll(async () => {
  harness = await createTestTrip();
  await fill(harness);
  planned = createPlannedDatabase(harness.databaseUrl, 'trip');
  store = createTripStore(planned.database);
}, 30_000);
afterAll(async () => {
  await planned.close();
  await harness.close();
}, 30_000);

const trips = 20_000;
const active = 200;
const idOf = (kind: number, n: number) => `0000000${kind}-0000-7000-8000-${String(n).padStart(12, '0')}`;

/** Inserts the trips of a day in a city: 20,000 trips of 2,000 riders and 500 drivers, 200 of them active. */
async function fill({ sql: fillSql, clock }: TestTrip): Promise<void> {
  const nowMs = clock.nowMs();
  await fillSql`
    insert into trips (id, version, status, rider_id, driver_id, vehicle, quote_id, payment_method_id, product,
                       pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, distance_metres, duration_seconds,
                       fare_minor, fare_currency, fare_lines, start_code, ended_by, search_until_ms, timer_at_ms,
                       created_at_ms, updated_at_ms)
    select ('00000001-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 1,
           case when n <= ${active} then 'requested' else 'completed' end,
           ('00000002-0000-7000-8000-' || lpad((n % 2000)::text, 12, '0'))::uuid,
           case when n > ${active} then ('00000003-0000-7000-8000-' || lpad((n % 500)::text, 12, '0'))::uuid end,
           case when n > ${active} then '{}'::jsonb end,
           gen_random_uuid(), gen_random_uuid(), 'car', 10, 106, 10, 106, 1, 1, 1, 'VND', '[]', '0000',
           case when n > ${active} then 'driver' end, ${nowMs},
           case when n <= ${active} then ${nowMs}::bigint + n * 100 end,
           ${nowMs}::bigint - n * 1000, ${nowMs}::bigint - n * 1000
    from generate_series(1, ${trips}) as n`;
  await fillSql`
    insert into trip_history (trip_id, version, from_status, to_status, actor, at_ms)
    select id, version, null, status, 'system', created_at_ms from trips`;
  await fillSql`
    insert into trip_decisions (trip_id, version, decision, at_ms)
    select id, 2, '{}', created_at_ms from trips`;
  await fillSql`analyze`;
}

const tripId = idOf(1, 77) as TripId;
const rider = { actor: 'rider', id: idOf(2, 1_900) as RiderId } as const;
const driver = { actor: 'driver', id: idOf(3, 400) as DriverId } as const;

const people = [rider, driver].map(({ id }) => asPersonId(id));

describe('with 20,000 trips, each hot query uses its index', () => {
  test.each<[string, string, () => Promise<unknown>]>([
    ['reading a trip', 'trips_pkey', () => store.find(tripId)],
    ['reading a visible trip', 'trips_pkey', () => store.findVisible(tripId, rider)],
    ['answering an offer', 'trips_pkey', () => store.findForOfferedDriver(tripId, driver)],
    ['active trips of many riders', 'trips_one_per_rider', () => store.findActive(people)],
    ['active trips and offers of many drivers', 'trips_one_per_driver', () => store.findActive(people)],
    [
      "a rider's list",
      'trips_of_rider',
      () => store.list({ participant: rider, limit: 20 }, createReadConsistencyToken()),
    ],
    [
      "a rider's next page",
      'trips_of_rider',
      () =>
        store.list(
          { participant: rider, limit: 20, after: { atMs: harness.clock.nowMs() - 9e6, id: tripId } },
          createReadConsistencyToken(),
        ),
    ],
    [
      "a driver's list (driver_id, updated_at)",
      'trips_of_driver',
      () => store.list({ participant: driver, limit: 20 }, createReadConsistencyToken()),
    ],
    [
      "a driver's completed trips",
      'trips_of_driver',
      () => store.list({ participant: driver, status: 'completed', limit: 20 }, createReadConsistencyToken()),
    ],
    [
      'the history of a trip',
      'trip_history_pkey',
      () => store.history(tripId, rider, createReadConsistencyToken()),
    ],
    ['due timers', 'trips_due', () => store.claimDue(harness.clock.nowMs(), harness.clock.nowMs() + 1, 50)],
    ['old history', 'trip_history_ended', () => store.sweepHistory(oldMs(), 10)],
    ['old decisions', 'trip_decisions_at', () => store.sweepDecisions(oldMs(), 10)],
    ['a rating', 'trips_pkey', () => store.rate(tripId, rider, 5, null)],
    ['a transition', 'trips_pkey', giveUp],
    [
      'trips by state and age (status, created_at)',
      'trips_by_status',
      () =>
        planned.database
          .primary`select id from trips where status = 'requested' and created_at_ms < ${1} order by created_at_ms limit 10`,
    ],
  ])('%s: %s', async (_, index, work) => {
    const plan = await planned.plansOf(work);
    expect(plan).toContain(index);
    expect(plan).not.toContain('Seq Scan on trip');
    expect(plan).not.toContain('Sort Key: trips');
  });

  /** A few of the oldest rows are older than this. */
  const oldMs = () => harness.clock.nowMs() - (trips - 5) * 1_000;

  async function giveUp(): Promise<unknown> {
    const trip = await store.find(tripId);
    const action: TripAction = { kind: 'give_up', by: { actor: 'system' } };
    const result = trip && decideTransition(trip, action, trip.searchUntilMs, tripPolicyOf(harness.settings));
    if (result?.kind !== 'allowed') throw new Error(`no transition: ${Bun.inspect(result)}`);
    expect(
      await store.saveTransition({
        transition: result.transition,
        event: createTripEvent(harness.ids, result.transition),
      }),
    ).toBe('saved');
    return undefined;
  }
});
