import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import type { TripId } from '@contracts/ids.ts';
import { findTripViolations } from '@invariants/trips.ts';
import {
  createTestTrip,
  createTripInStatus,
  type TestTrip,
  type TestTripInstance,
} from '../testing/harness.ts';

// Other tests rely on this check, so these tests prove that it finds every kind of violation.
let harness: TestTrip;
let instance: TestTripInstance;
let id: TripId;
beforeAll(async () => {
  harness = await createTestTrip();
  instance = harness.createInstance({ DISPATCH_MODE: 'sync' });
  await harness.sql.unsafe(`
    alter table trips drop constraint trips_timer, drop constraint trips_driver;
    drop index trips_one_per_rider; drop index trips_one_per_driver; drop index trips_one_per_quote`);
});
beforeEach(async () => {
  await harness.sql`truncate trips, trip_history, outbox`;
  ({ id } = await createTripInStatus('arrived', instance, harness.createCity()));
  expect(
    await findTripViolations(harness.sql, { nowMs: harness.clock.nowMs(), isOutboxComplete: true }),
  ).toEqual([]);
});
afterAll(() => harness.close());

async function violations(): Promise<string> {
  const found = await findTripViolations(harness.sql, {
    nowMs: harness.clock.nowMs(),
    isOutboxComplete: true,
  });
  return found.join('\n').replaceAll(id, 'T');
}

describe('the invariants of trips report', () => {
  test('a person with two active trips', async () => {
    await harness.sql`
      insert into trips select (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid()))).* from trips t`;
    expect(await violations()).toMatch(/rider \S+ has 2 active trips/);
    expect(await violations()).toMatch(/driver \S+ has 2 active trips and offers/);
  });

  test('a second assignment', async () => {
    await harness.sql`update trip_history set to_status = 'assigned' where version = 4`;
    expect(await violations()).toContain('trip T was assigned 2 times to 1 drivers, replaced 0 times');
  });

  test('an assignment to another driver than the trip’s', async () => {
    await harness.sql`update trips set driver_id = gen_random_uuid()`;
    expect(await violations()).toMatch(
      /trip T was assigned 1 times to 1 drivers, replaced 0 times, last assigned to \S+, and has driver/,
    );
  });

  test('a gap in the versions', async () => {
    await harness.sql`delete from trip_history where version = 2`;
    expect(await violations()).toContain('its history has 3 rows from 1 to 4');
  });

  test('an illegal transition or actor', async () => {
    await harness.sql`update trip_history set actor = 'rider' where version = 4`;
    expect(await violations()).toContain('trip T went from assigned to arrived by rider');
  });

  test('a state that the history does not end in', async () => {
    await harness.sql`update trips set status = 'in_progress'`;
    expect(await violations()).toContain('trip T is at version 4 in in_progress');
  });

  test('a missing timer and an overdue timer', async () => {
    await harness.sql`update trips set timer_at_ms = null`;
    expect(await violations()).toContain('trip T is arrived and has no timer');
    await harness.sql`update trips set timer_at_ms = ${harness.clock.nowMs() - 60_000}`;
    expect(await violations()).toContain('its timer is overdue by 60000 ms');
  });

  test('a transition without an event, an event without a transition, and a duplicate event', async () => {
    await harness.sql`delete from outbox where (data->>'version')::int = 3`;
    expect(await violations()).toContain('trip T, version 3 has no event');
    await harness.sql`update outbox set data = (data::jsonb || '{"version": 9}')::json where (data->>'version')::int = 2`;
    expect(await violations()).toContain('reports trip T as offered at version 9');
    await harness.sql`
      insert into outbox (event_id, type, subject, time_ms, data)
      select gen_random_uuid(), type, subject, time_ms, data from outbox where (data->>'version')::int = 1`;
    expect(await violations()).toContain('trip T, version 1 has 2 events');
  });
});
