import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { TripId } from '@contracts/ids.ts';
import { tripInvariants } from '@invariants/trips.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { createDatabase, type Database } from '@platform/postgres/database.ts';
import { createStraightRouter } from '@platform/routing.ts';
import { bringTo, createTestTrip, type TestTrip, type TripInstance } from '@testing/trip.ts';
import { createDispatcher, type Dispatcher } from './dispatch/dispatcher.ts';
import { createMoves } from './moves.ts';
import { policyOf } from './settings.ts';
import { createTripStore } from './store/store.ts';

// Nobody keeps order here but the database: holds are given to everyone.
let world: TestTrip;
let instances: TripInstance[];
beforeAll(async () => {
  world = await createTestTrip();
  world.drivers.holding = false;
  instances = [1, 2, 3].map(() => world.instance({ DISPATCH_MODE: 'sync' }));
});
afterEach(async () => {
  expect(await tripInvariants(world.sql, { outboxIsWhole: true })).toEqual([]);
});
afterAll(() => world.close());

const instance = (index: number): TripInstance => instances[index % instances.length] as TripInstance;
const rounds = Array.from({ length: 10 }, (_, round) => round);

async function historyOf(id: TripId): Promise<string[]> {
  const rows = await world.sql<{ to_status: string }[]>`
    select to_status from trip_history where trip_id = ${id} order by version`;
  return rows.map(({ to_status }) => to_status);
}

describe('at the same moment, on several instances', () => {
  test('two accepts of one driver make one assignment, and both hear of it', async () => {
    for (const _ of rounds) {
      const { id, driver } = await bringTo('offered', instance(0), world.scene());
      const answers = await Promise.all([0, 1, 2].map((at) => instance(at).as(driver).act(id, 'accept')));
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
      expect(await historyOf(id)).toEqual(['requested', 'offered', 'assigned']);
    }
  });

  test('an accept and a cancellation: one comes first, the other is told how it stands', async () => {
    for (const _ of rounds) {
      const { id, driver, rider } = await bringTo('offered', instance(0), world.scene());
      const [accepted, cancelled] = await Promise.all([
        instance(1).as(driver).act(id, 'accept'),
        instance(2).as(rider).act(id, 'cancel', { reason: 'too long' }),
      ]);
      expect(cancelled.status).toBe(200);
      expect(['200 undefined', '409 trip.wrong_state']).toContain(`${accepted.status} ${accepted.code}`);
      expect((await historyOf(id)).at(-1)).toBe('cancelled');
    }
  });

  test('two requests of one rider make one trip', async () => {
    for (const _ of rounds) {
      const rider = world.scene().rider();
      const quotes = [rider.quote(), rider.quote(), rider.quote()];
      const answers = await Promise.all(quotes.map((quote, at) => instance(at).as(rider).create(quote)));
      expect(answers.map(({ status, code }) => `${status} ${code}`).sort()).toEqual([
        '201 undefined',
        '409 trip.rider_busy',
        '409 trip.rider_busy',
      ]);
    }
  });

  test('one quote under several keys makes one trip', async () => {
    for (const _ of rounds) {
      const rider = world.scene().rider();
      const quote = rider.quote();
      const answers = await Promise.all([0, 1, 2].map((at) => instance(at).as(rider).create(quote)));
      expect(answers.map(({ status, code }) => `${status} ${code}`).sort()).toEqual([
        '201 undefined',
        '409 quote.used',
        '409 quote.used',
      ]);
    }
  });

  test('one driver between several riders goes to one of them', async () => {
    for (const _ of rounds) {
      const scene = world.scene();
      scene.driver();
      const riders = [scene.rider(), scene.rider(), scene.rider()];
      const trips = await Promise.all(
        riders.map((rider, at) => instance(at).as(rider).create(rider.quote())),
      );
      const statuses = await Promise.all(
        trips.map(
          async ({ trip }, at) =>
            (
              await instance(0)
                .as(riders[at] ?? scene.rider())
                .get(trip.id)
            ).trip.status,
        ),
      );
      expect(statuses.sort()).toEqual(['offered', 'requested', 'requested']);
    }
  });

  test('two dispatchers make one offer for a trip', async () => {
    const open = [dispatcher(), dispatcher(), dispatcher()];
    const waiting = world.instance({ DISPATCH_MODE: 'events' });
    for (const _ of rounds) {
      const scene = world.scene();
      scene.driver(300);
      scene.driver(900);
      const rider = scene.rider();
      const { id, version } = (await waiting.as(rider).create(rider.quote())).trip;
      await Promise.all(open.map((one) => one.dispatcher.dispatch({ tripId: id, version })));
      expect(await historyOf(id)).toEqual(['requested', 'offered']);
      const decisions = await world.sql`select from trip_decisions where trip_id = ${id}`;
      expect(decisions.length).toBe(1);
    }
    await Promise.all(open.map(({ database }) => database.close()));
  });

  test('completing and rating on different instances loses neither rating', async () => {
    for (const _ of rounds) {
      const { id, rider, driver } = await bringTo('completed', instance(0), world.scene());
      await Promise.all([
        instance(1).as(rider).act(id, 'rating', { stars: 5 }),
        instance(2).as(driver).act(id, 'rating', { stars: 4 }),
      ]);
      expect((await instance(0).as(rider).get(id)).trip.ratings).toEqual({ byRider: 5, byDriver: 4 });
    }
  });
});

function dispatcher(): { dispatcher: Dispatcher; database: Database } {
  const [{ databaseUrl: url }, log, metrics] = [world, createLog('silent'), createMetrics()];
  const database = createDatabase({ url, schema: 'trip', poolMax: 2, statementTimeoutMs: 5_000, log });
  const policy = policyOf(world.settings);
  const store = createTripStore(database);
  const { clock, ids } = world;
  const drivers = world.drivers.pool;
  const moves = createMoves({ store, clock, ids, metrics, policy, told: () => undefined });
  const router = createStraightRouter('Asia/Ho_Chi_Minh');
  return {
    dispatcher: createDispatcher({ store, moves, drivers, router, clock, log, metrics, policy, windowMs: 0 }),
    database,
  };
}
