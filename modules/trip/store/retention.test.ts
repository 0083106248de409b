import { afterAll, beforeAll, expect, test } from 'bun:test';
import { TripHistory } from '@contracts/trips.ts';
import { until } from '@testing/until.ts';
import {
  createTestTrip,
  createTripInStatus,
  type TestTrip,
  type TestTripInstance,
} from '../testing/harness.ts';

const dayMs = 24 * 60 * 60 * 1_000;

let harness: TestTrip;
let instance: TestTripInstance;
beforeAll(async () => {
  harness = await createTestTrip();
  instance = harness.createInstance({
    DISPATCH_MODE: 'sync',
    TRIP_HISTORY_DAYS: '10',
    TRIP_DECISIONS_DAYS: '3',
  });
}, 30_000);
afterAll(() => harness.close(), 30_000);

const rowsOf = async (table: 'trip_history' | 'trip_decisions', tripId: string): Promise<number> => {
  const [row] = await harness.sql<{ count: number }[]>`
    select count(*)::int as count from ${harness.sql(table)} where trip_id = ${tripId}`;
  return row?.count ?? 0;
};

test('history and decisions are deleted after their retention, whole trips at a time, and the trip itself stays', async () => {
  const old = await createTripInStatus('completed', instance, harness.createCity());
  await harness.clock.advance(8 * dayMs);
  const young = await createTripInStatus('completed', instance, harness.createCity());
  await harness.clock.advance(3 * dayMs - 1_000);

  await instance.start();
  await until(async () => (await rowsOf('trip_history', old.id)) === 0);
  await until(async () => (await rowsOf('trip_decisions', old.id)) === 0);
  await until(() => harness.clock.sleepers() > 0);
  expect(await rowsOf('trip_history', young.id)).toBe(6);
  expect(await rowsOf('trip_decisions', young.id)).toBe(1);
  await instance.stop();

  // The first rider reads again with a token that is still valid.
  const swept = await instance.clientFor(old.rider).send('GET', `/v1/trips/${old.id}/history`);
  expect([swept.status, swept.parseAs(TripHistory).items]).toEqual([200, []]);
  expect((await instance.clientFor(old.rider).get(old.id)).trip.status).toBe('completed');
  const otherRider = await instance
    .clientFor(harness.createCity().addRider())
    .send('GET', `/v1/trips/${old.id}/history`);
  expect([otherRider.status, otherRider.code]).toEqual([404, 'trip.not_found']);
});
