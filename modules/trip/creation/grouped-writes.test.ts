import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import {
  asPersonId,
  type EventId,
  type PaymentMethodId,
  type QuoteId,
  type RiderId,
  type TripId,
} from '@contracts/ids.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { createDatabase, type Database } from '@platform/postgres/database.ts';
import { migrate } from '@platform/postgres/migrate.ts';
import { createPlannedDatabase } from '@testing/query-plans.ts';
import fc from 'fast-check';
import { createTripEvent } from '../events.ts';
import { tripMigrations } from '../migrations/index.ts';
import { tripPolicyOf } from '../settings.ts';
import { createInitialTransition } from '../state.ts';
import { type CreationOutcome, createTripStore, type TripCreation } from '../store/store.ts';
import { createTestTrip, type TestTrip } from '../testing/harness.ts';
import { riderView } from '../views.ts';
import { createGroupedWrites } from './grouped-writes.ts';

const timeoutMs = 30_000;
const log = createLog('silent');
let harness: TestTrip;
let grouped: Database;
let single: Database;
beforeAll(async () => {
  harness = await createTestTrip();
  grouped = await open('grouped');
  single = await open('single');
}, timeoutMs);
afterEach(async () => {
  for (const { primary } of [grouped, single])
    expect(await findTripViolations(primary, { isOutboxComplete: true })).toEqual([]);
});
afterAll(async () => {
  await Promise.all([grouped.close(), single.close()]);
  await harness.close();
});

/** Opens another schema with the same tables in the same database. */
async function open(schema: string): Promise<Database> {
  const { databaseUrl: url } = harness;
  const database = createDatabase({ url, schema, poolMax: 8, statementTimeoutMs: 5_000, log });
  await migrate(database, tripMigrations, log);
  return database;
}

/** The metrics of the writers show failed group statements, which the fallback would hide. */
let metrics = createMetrics();
const spoiltGroups = () =>
  metrics
    .text()
    .split('\n')
    .filter((line) => line.startsWith('trip_groups_spoilt_total'));

function writer(groupMax: number, groupsMax = 2): (creation: TripCreation) => Promise<CreationOutcome> {
  const settings = { TRIP_GROUP_MAX: groupMax, TRIP_GROUPS_MAX: groupsMax, TRIP_CREATIONS_MAX: 1_000 };
  const store = createTripStore(grouped);
  return createGroupedWrites({ store, clock: harness.clock, log, metrics, settings });
}

interface TripRequest {
  riderId: RiderId;
  quoteId: QuoteId;
  key: string;
}

function creationOf({ riderId, quoteId, key }: TripRequest): TripCreation {
  const { ids } = harness;
  const fare = {
    quoteId,
    paymentMethodId: ids<PaymentMethodId>(),
    product: 'car',
    pickup: { lat: 10.7725, lng: 106.698 },
    dropoff: { lat: 10.8188, lng: 106.6519 },
    distanceMetres: 9_400,
    durationSeconds: 1_500,
    total: { amountMinor: 128_000, currency: 'VND' },
    lines: [{ kind: 'base', amountMinor: 128_000 }],
  } as const;
  const asked = {
    id: ids<TripId>(),
    riderId,
    riderProfile: { firstName: null, rating: null },
    fare,
    startCode: '0420',
  };
  const transition = createInitialTransition(asked, harness.clock.nowMs(), tripPolicyOf(harness.settings));
  const fingerprint = `${quoteId} "{}\\ 'quoted'`;
  const personId = asPersonId(riderId);
  return {
    transition,
    event: createTripEvent(ids, transition),
    key: { personId, key, fingerprint },
    response: riderView(transition.trip),
  };
}

/** All rows that creations write, without the row numbers of the outbox. */
async function written({ primary: sql }: Database): Promise<unknown> {
  return [
    [...(await sql`select * from trips order by id`)],
    [...(await sql`select * from trip_history order by trip_id, version`)],
    [
      ...(await sql`select event_id, type, subject, time_ms, traceparent, data from outbox order by event_id`),
    ],
    [
      ...(await sql`select person_id, key, fingerprint, response::text, at_ms from idempotency order by 1, 2`),
    ],
  ];
}

async function clear(): Promise<void> {
  metrics = createMetrics();
  for (const { primary: sql } of [grouped, single])
    await sql`truncate trips, trip_history, outbox, idempotency`;
}

/** Ends the riders' trips: they may request another, but not with the same quote. */
async function endTrips(riderIds: readonly RiderId[]): Promise<void> {
  for (const { primary: sql } of [grouped, single])
    await sql`
      with ended as (
        update trips set version = 2, status = 'cancelled', timer_at_ms = null, ended_by = 'rider'
        where rider_id = any (${riderIds}::uuid[]) and status = 'requested'
        returning id, rider_id, updated_at_ms),
      noted as (
        insert into trip_history
        select id, 2, 'requested', 'cancelled', 'rider', rider_id, null, updated_at_ms from ended)
      insert into outbox (event_id, type, subject, time_ms, data)
      select id, 'trip.cancelled.v1', id::text, updated_at_ms,
             jsonb_build_object('tripId', id, 'version', 2, 'status', 'cancelled') from ended`;
}

const few = fc.integer({ min: 0, max: 3 });
/** Few riders, quotes and keys, so that creations often conflict. */
const burst = fc.record({
  asked: fc.array(fc.record({ rider: few, quote: few, key: few }), { maxLength: 24 }),
  ended: fc.array(few, { maxLength: 2 }),
});

describe('trips that are created together', () => {
  test(
    'have the same outcomes and rows as trips created one by one',
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(burst, { minLength: 1, maxLength: 3 }),
          fc.integer({ min: 2, max: 8 }),
          async (bursts, groupMax) => {
            await clear();
            const write = writer(groupMax);
            const oneByOne = createTripStore(single);
            const riders = [0, 1, 2, 3].map(() => harness.ids<RiderId>());
            const quotes = riders.map(() => [0, 1, 2, 3].map(() => harness.ids<QuoteId>()));
            for (const { asked, ended } of bursts) {
              const creations = asked.flatMap(({ rider, quote, key }) => {
                const [riderId, quoteId] = [riders[rider], quotes[rider]?.[quote]];
                return riderId && quoteId ? [creationOf({ riderId, quoteId, key: `key ${key}` })] : [];
              });
              const together = await Promise.all(creations.map(write));
              const expected: CreationOutcome[] = [];
              for (const creation of creations) expected.push(await oneByOne.create(creation));
              expect(together).toEqual(expected);
              await endTrips(ended.flatMap((rider) => riders[rider] ?? []));
            }
            expect(await written(grouped)).toEqual(await written(single));
            expect(spoiltGroups()).toEqual([]);
          },
        ),
        { numRuns: 15 },
      );
    },
    timeoutMs,
  );

  test('share statements: a hundred at once need four', async () => {
    await clear();
    const write = writer(32, 4);
    const creations = Array.from({ length: 100 }, () => creationOf(newRiderRequest()));
    expect(new Set(await Promise.all(creations.map(write)))).toEqual(new Set(['created']));
    const [row] = await grouped.primary`select count(distinct xmin::text)::int as statements from trips`;
    expect(row?.statements).toBe(4);
    expect(spoiltGroups()).toEqual([]);
  });

  test('are stored although one of them can not be stored', async () => {
    await clear();
    const bad = creationOf(newRiderRequest());
    const spoiled = { ...bad, response: 'x', event: { ...bad.event, id: 'no uuid' as EventId } };
    const creations = [creationOf(newRiderRequest()), spoiled, creationOf(newRiderRequest())];
    const answers = await Promise.allSettled(creations.map(writer(32)));
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((await grouped.primary`select from trips`).length).toBe(2);
    expect(spoiltGroups().length).toBe(1);
  });

  test('by several instances in any order do not block one another and create no duplicates', async () => {
    await clear();
    const people = Array.from({ length: 24 }, newRiderRequest);
    const orders = [people, people.toReversed(), people.toSorted((a, b) => (a.quoteId < b.quoteId ? 1 : -1))];
    const outcomes = await Promise.all(
      orders.flatMap((order, index) => {
        const write = writer(24);
        return order.map((asked) => write(creationOf({ ...asked, key: `of instance ${index}` })));
      }),
    );
    expect(outcomes.filter((outcome) => outcome === 'created').length).toBe(people.length);
    expect(outcomes.filter((outcome) => outcome === 'quote_used').length).toBe(2 * people.length);
    expect(spoiltGroups()).toEqual([]);
  });

  test('are looked up by their indexes, even if the statement was planned on empty tables', async () => {
    await clear();
    const planned = createPlannedDatabase(harness.databaseUrl, 'grouped');
    const store = createTripStore(planned.database);
    const plan = await planned.plansOf(() =>
      store.createAll([creationOf(newRiderRequest()), creationOf(newRiderRequest())]),
    );
    await planned.close();
    expect(plan).toContain('idempotency_pkey');
    expect(plan).not.toContain('Seq Scan');
  });

  const newRiderRequest = (): TripRequest => ({
    riderId: harness.ids<RiderId>(),
    quoteId: harness.ids<QuoteId>(),
    key: 'the first',
  });
});

test('requests beyond TRIP_CREATIONS_MAX are answered 503 with Retry-After, and the others succeed', async () => {
  const instance = harness.createInstance({ DISPATCH_MODE: 'sync', TRIP_CREATIONS_MAX: '2' });
  const riders = Array.from({ length: 4 }, () => harness.createCity().addRider());
  const answers = await Promise.all(
    riders.map((rider) => instance.clientFor(rider).create(rider.addQuote())),
  );
  expect(answers.map(({ status, code }) => `${status} ${code}`).sort()).toEqual([
    '201 undefined',
    '201 undefined',
    '503 service.unavailable',
    '503 service.unavailable',
  ]);
  const refused = answers.find(({ status }) => status === 503);
  expect(refused?.headers.get('retry-after')).toBe('1');
});
