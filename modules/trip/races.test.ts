import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { TripId } from '@contracts/ids.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { createDatabase, type Database } from '@platform/postgres/database.ts';
import { createStraightLineRouter } from '@platform/routing/router.ts';
import { createDispatcher, type Dispatcher } from './dispatch/dispatcher.ts';
import { createTransitions } from './lifecycle/transitions.ts';
import { tripPolicyOf } from './settings.ts';
import { createTripStore } from './store/store.ts';
import {
  createTestTrip,
  createTripInStatus,
  type TestTrip,
  type TestTripInstance,
} from './testing/harness.ts';

// Only the database prevents conflicts in these tests: the fake driver service grants every hold.
let harness: TestTrip;
let instances: TestTripInstance[];
beforeAll(async () => {
  harness = await createTestTrip();
  harness.drivers.enforcesHolds = false;
  instances = [1, 2, 3].map(() => harness.createInstance({ DISPATCH_MODE: 'sync' }));
});
afterEach(async () => {
  expect(await findTripViolations(harness.sql, { isOutboxComplete: true })).toEqual([]);
});
afterAll(() => harness.close());

const instance = (index: number): TestTripInstance => instances[index % instances.length] as TestTripInstance;
const rounds = Array.from({ length: 10 }, (_, round) => round);

async function historyOf(id: TripId): Promise<string[]> {
  const rows = await harness.sql<{ to_status: string }[]>`
    select to_status from trip_history where trip_id = ${id} order by version`;
  return rows.map(({ to_status }) => to_status);
}

describe('at the same time, on several instances', () => {
  test('repeated accepts of one driver make one assignment, and all succeed', async () => {
    for (const _ of rounds) {
      const { id, driver } = await createTripInStatus('offered', instance(0), harness.createCity());
      const answers = await Promise.all(
        [0, 1, 2].map((at) => instance(at).clientFor(driver).act(id, 'accept')),
      );
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
      expect(await historyOf(id)).toEqual(['requested', 'offered', 'assigned']);
    }
  });

  test('an accept and a cancellation are serialized, and the trip ends as cancelled', async () => {
    for (const _ of rounds) {
      const { id, driver, rider } = await createTripInStatus('offered', instance(0), harness.createCity());
      const [accepted, cancelled] = await Promise.all([
        instance(1).clientFor(driver).act(id, 'accept'),
        instance(2).clientFor(rider).act(id, 'cancel', { reason: 'too long' }),
      ]);
      expect(cancelled.status).toBe(200);
      expect(['200 undefined', '409 trip.wrong_state']).toContain(`${accepted.status} ${accepted.code}`);
      expect((await historyOf(id)).at(-1)).toBe('cancelled');
    }
  });

  test('two requests of one rider make one trip', async () => {
    for (const _ of rounds) {
      const rider = harness.createCity().addRider();
      const quotes = [rider.addQuote(), rider.addQuote(), rider.addQuote()];
      const answers = await Promise.all(
        quotes.map((quote, at) => instance(at).clientFor(rider).create(quote)),
      );
      expect(answers.map(({ status, code }) => `${status} ${code}`).sort()).toEqual([
        '201 undefined',
        '409 trip.rider_busy',
        '409 trip.rider_busy',
      ]);
    }
  });

  test('one quote with several idempotency keys makes one trip', async () => {
    for (const _ of rounds) {
      const rider = harness.createCity().addRider();
      const quote = rider.addQuote();
      const answers = await Promise.all([0, 1, 2].map((at) => instance(at).clientFor(rider).create(quote)));
      expect(answers.map(({ status, code }) => `${status} ${code}`).sort()).toEqual([
        '201 undefined',
        '409 quote.used',
        '409 quote.used',
      ]);
    }
  });

  test('one driver gets the offer of one of several riders', async () => {
    for (const _ of rounds) {
      const city = harness.createCity();
      city.addDriver();
      const riders = [city.addRider(), city.addRider(), city.addRider()];
      const trips = await Promise.all(
        riders.map((rider, at) => instance(at).clientFor(rider).create(rider.addQuote())),
      );
      const statuses = await Promise.all(
        trips.map(
          async ({ trip }, at) =>
            (
              await instance(0)
                .clientFor(riders[at] ?? city.addRider())
                .get(trip.id)
            ).trip.status,
        ),
      );
      expect(statuses.sort()).toEqual(['offered', 'requested', 'requested']);
    }
  });

  test('two dispatchers make one offer for a trip', async () => {
    const open = [dispatcher(), dispatcher(), dispatcher()];
    const waiting = harness.createInstance({ DISPATCH_MODE: 'events' });
    for (const _ of rounds) {
      const city = harness.createCity();
      city.addDriver(300);
      city.addDriver(900);
      const rider = city.addRider();
      const { id, version } = (await waiting.clientFor(rider).create(rider.addQuote())).trip;
      await Promise.all(open.map((entry) => entry.dispatcher.dispatch({ tripId: id, version })));
      expect(await historyOf(id)).toEqual(['requested', 'offered']);
      const decisions = await harness.sql`select from trip_decisions where trip_id = ${id}`;
      expect(decisions.length).toBe(1);
    }
    await Promise.all(open.map(({ database }) => database.close()));
  });

  test('ratings of both participants are both stored', async () => {
    for (const _ of rounds) {
      const { id, rider, driver } = await createTripInStatus('completed', instance(0), harness.createCity());
      await Promise.all([
        instance(1).clientFor(rider).act(id, 'rating', { stars: 5 }),
        instance(2).clientFor(driver).act(id, 'rating', { stars: 4 }),
      ]);
      expect((await instance(0).clientFor(rider).get(id)).trip.ratings).toEqual({ byRider: 5, byDriver: 4 });
    }
  });
});

function dispatcher(): { dispatcher: Dispatcher; database: Database } {
  const [{ databaseUrl: url }, log, metrics] = [harness, createLog('silent'), createMetrics()];
  const database = createDatabase({ url, schema: 'trip', poolMax: 2, statementTimeoutMs: 5_000, log });
  const policy = tripPolicyOf(harness.settings);
  const store = createTripStore(database);
  const { clock, ids } = harness;
  const drivers = harness.drivers.pool;
  const transitions = createTransitions({
    store,
    clock,
    ids,
    metrics,
    policy,
    onEventWritten: () => undefined,
  });
  const router = createStraightLineRouter('Asia/Ho_Chi_Minh');
  return {
    dispatcher: createDispatcher({
      store,
      transitions,
      drivers,
      router,
      clock,
      log,
      metrics,
      policy,
      windowMs: 0,
    }),
    database,
  };
}
