import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { createTestDatabase, type TestDatabase } from '@testing/postgres.ts';
import postgres from 'postgres';
import { type ClientHistory, createClientHistory } from './client-history.ts';
import { checkHistory } from './client-history-check.ts';
import { checkEvents, type RecordedEvent } from './event-recorder.ts';

// The columns that are checked, as in the tables of the contexts.
const tables = `
  create schema trip; create schema payment; create schema "user";
  create table "user".people (id uuid, email text, role text);
  create table payment.payment_methods (id uuid);
  create table payment.quotes (id uuid, fare_minor bigint);
  create table payment.payments (id uuid primary key, trip_id uuid, status text, amount_minor bigint);
  create table payment.idempotency (key text, response json);
  create table trip.idempotency (key text, response json);
  create table trip.trips (id uuid);
  create table trip.trip_history (trip_id uuid, version int, actor text, to_status text);`;

const id = (name: number) => `00000000-0000-7000-8000-${String(name).padStart(12, '0')}`;
const [tripId, quoteId, personId, paymentId, driverId] = [id(1), id(2), id(3), id(4), id(5)];

let database: TestDatabase;
let sql: postgres.Sql;
let history: ClientHistory;
let recorded: RecordedEvent[];

beforeAll(async () => {
  database = await createTestDatabase();
  sql = postgres(database.url, { max: 2, onnotice: () => undefined });
  await sql.unsafe(tables);
});
afterAll(async () => {
  await sql.end();
  await database.drop();
});

/** One trip as clients requested it, as it was acknowledged, and as it is stored. */
beforeEach(async () => {
  await sql`
    truncate "user".people, payment.payment_methods, payment.quotes, payment.payments, payment.idempotency,
             trip.idempotency, trip.trips, trip.trip_history`;
  await sql`insert into "user".people values (${personId}, 'an@example.com', 'rider')`;
  await sql`insert into payment.quotes values (${quoteId}, 31000)`;
  await sql`insert into payment.payments values (${paymentId}, ${tripId}, 'captured', 31000)`;
  await sql`insert into payment.idempotency values ('quote-1', ${sql.json({ id: quoteId })})`;
  await sql`insert into trip.idempotency values ('trip-1', ${sql.json({ id: tripId })})`;
  await sql`insert into trip.trips values (${tripId})`;
  await sql`insert into trip.trip_history values (${tripId}, 1, 'rider', 'requested'),
              (${tripId}, 2, 'system', 'offered'), (${tripId}, 3, 'driver', 'assigned')`;
  history = createClientHistory();
  const { attempted, acknowledged } = history;
  attempted.emails.add('an@example.com');
  attempted.keys.add('quote-1').add('trip-1');
  attempted.steps.add(`${tripId}/accept`);
  acknowledged.people.add(personId);
  acknowledged.quotes.set(quoteId, 31_000);
  acknowledged.trips.set(`${tripId} 3`, { id: tripId, version: 3, status: 'assigned' });
  recorded = [
    ...['trip.requested.v1', 'trip.offered.v1', 'trip.assigned.v1'].map((type, index) => ({
      id: id(10 + index),
      type,
      subject: tripId,
      version: index + 1,
    })),
    { id: id(20), type: 'payment.captured.v1', subject: paymentId, version: null },
  ];
});

const violations = async () => [...(await checkHistory(sql, history)), ...(await checkEvents(sql, recorded))];

test('a history that matches the database has no violations, even with duplicate events', async () => {
  recorded.push(...recorded.slice(0, 2));
  expect(await violations()).toEqual([]);
});

test.each([
  [
    'an acknowledged trip',
    () => sql`delete from trip.trip_history where version = 3`,
    /acknowledged as assigned/,
  ],
  ['a quoted fare', () => sql`update payment.quotes set fare_minor = 1`, /fare of 31000, stored is 1/],
  ['a registered person', () => sql`delete from "user".people`, /acknowledged and does not exist/],
])('%s that is not stored is a violation', async (_, lose, pattern) => {
  await lose();
  expect((await violations()).join('\n')).toMatch(pattern);
});

test.each([
  [
    'a person',
    () => sql`insert into "user".people values (${driverId}, 'x@example.com', 'driver')`,
    /never requested/,
  ],
  [
    'a trip without a request',
    () => sql`insert into trip.trips values (${driverId})`,
    /created by no request/,
  ],
  ['a key', () => sql`insert into trip.idempotency values ('other', '{}')`, /which nobody sent/],
  [
    'a step',
    () => sql`insert into trip.trip_history values (${tripId}, 4, 'driver', 'arrived')`,
    /arrived by a driver at version 4, and nobody requested/,
  ],
])('%s that nobody requested is a violation', async (_, invent, pattern) => {
  await invent();
  expect((await violations()).join('\n')).toMatch(pattern);
});

test('a transition without an event, one with two events, and an event without a transition are violations', async () => {
  const [first, second] = recorded;
  if (first === undefined || second === undefined) throw new Error('nothing was recorded');
  recorded = [{ ...second, id: id(30) }, ...recorded.slice(1), { ...second, id: id(31), version: 9 }];
  expect((await violations()).toSorted()).toEqual([
    `trip ${tripId}, version 1 has 0 events`,
    `trip ${tripId}, version 2 has 2 events`,
    `trip ${tripId}, version 9 has 1 events`,
  ]);
});

test('a captured payment without an event is a violation', async () => {
  recorded = recorded.filter(({ type }) => type !== 'payment.captured.v1');
  expect(await violations()).toEqual([`payment ${paymentId} is captured and has 0 events of that`]);
});
