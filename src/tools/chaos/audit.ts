import {
  findChargeViolations,
  findOvercharges,
  findPaymentViolations,
  findReleaseViolations,
} from '@invariants/payments.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { systemClock } from '@platform/clock.ts';
import type postgres from 'postgres';
import type { ClientHistory } from './client-history.ts';
import { checkHistory } from './client-history-check.ts';
import { checkEvents, type EventRecorder } from './event-recorder.ts';
import type { TestBed } from './test-bed.ts';

/** Checks what must hold at any moment, also during faults. */
export async function checkRunningInvariants(testBed: TestBed): Promise<string[]> {
  const found = await Promise.all([
    withSchema(testBed, 'trip', (sql) => findTripViolations(sql)),
    withSchema(testBed, 'payment', (sql) => findPaymentViolations(sql)),
  ]);
  return found.flat();
}

/** Checks what must hold some seconds after the last fault and the last trip. */
export async function checkFinalInvariants(
  testBed: TestBed,
  history: ClientHistory,
  recorder: EventRecorder,
): Promise<{ violations: string[]; events: number }> {
  const unsettled = await waitUntilSettled(testBed);
  const nowMs = systemClock.nowMs();
  const recorded = await recorder.takeRecorded();
  const found = await Promise.all([
    withSchema(testBed, 'trip', (sql) => findTripViolations(sql, { nowMs })),
    withSchema(testBed, 'payment', (sql) => findPaymentViolations(sql, { nowMs })),
    withSchema(testBed, 'trip', findUnfinishedTrips),
    withSchema(testBed, 'driver', findDriverHistoryViolations),
    withSchema(testBed, 'public', (sql) => checkHistory(sql, history)),
    withSchema(testBed, 'public', (sql) => checkEvents(sql, recorded)),
    findWrongCharges(testBed),
    findDeadLetters(testBed),
  ]);
  return { violations: [...unsettled, ...found.flat()], events: recorded.length };
}

async function withSchema<T>(
  testBed: TestBed,
  schema: string,
  work: (sql: postgres.Sql) => Promise<T>,
): Promise<T> {
  const sql = testBed.connectPrimary(schema);
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}

const settleTimeoutMs = 60_000;
const pollMs = 250;

/** Waits until outboxes and queues are drained and no driver is held or on a trip. Returns one sentence for each that is not. */
async function waitUntilSettled(testBed: TestBed): Promise<string[]> {
  const deadlineMs = systemClock.nowMs() + settleTimeoutMs;
  for (;;) {
    const pending = await findPendingWork(testBed);
    if (pending.length === 0 || systemClock.nowMs() > deadlineMs) return pending;
    await systemClock.sleep(pollMs);
  }
}

async function findPendingWork(testBed: TestBed): Promise<string[]> {
  const rows = await withSchema(
    testBed,
    'public',
    (sql) => sql<{ violation: string }[]>`
    select format('%s events wait in the outbox of trip', count(*)) as violation from trip.outbox having count(*) > 0
    union all
    select format('%s events wait in the outbox of payment', count(*)) from payment.outbox having count(*) > 0
    union all
    select format('%s events wait in the outbox of user', count(*)) from "user".outbox having count(*) > 0
    union all
    select format('driver %s is %s for trip %s', id, status, trip_id)
    from driver.drivers where status in ('held', 'on_trip')
    union all
    select format('payment %s is %s', id, status) from payment.payments where status in ('none', 'authorised')
    union all
    select format('reversal %s is pending', id) from payment.reversals where status = 'pending'`,
  );
  const queues = await readQueueDepths(testBed);
  const nonEmpty = Object.entries(queues).filter(([name, depth]) => depth > 0 && !name.endsWith('.dlq'));
  return [
    ...rows.map(({ violation }) => violation),
    ...nonEmpty.map(([name, depth]) => `${depth} messages wait in ${name}`),
  ];
}

/** The number of events that are committed and not yet published. */
export async function countOutboxRows(testBed: TestBed): Promise<number> {
  const [row] = await withSchema(
    testBed,
    'public',
    (sql) => sql<{ rows: number }[]>`
      select ((select count(*) from trip.outbox) + (select count(*) from payment.outbox)
              + (select count(*) from "user".outbox))::int as rows`,
  );
  return row?.rows ?? 0;
}

/** Messages (ready and unacknowledged) by queue, without the queue of the event recorder. */
export async function readQueueDepths(testBed: TestBed): Promise<Record<string, number>> {
  const listing =
    (await testBed
      .server('rabbitmq')
      .runAdminCommand?.(['-q', '--no-table-headers', 'list_queues', 'name', 'messages'])) ?? '';
  const rows = listing
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([name = '', depth]) => depth !== undefined && !name.startsWith('chaos.'));
  return Object.fromEntries(rows.map(([name, depth]) => [name, Number(depth)]));
}

async function findDeadLetters(testBed: TestBed): Promise<string[]> {
  const depths = Object.entries(await readQueueDepths(testBed));
  return depths
    .filter(([name, depth]) => name.endsWith('.dlq') && depth > 0)
    .map(([name, depth]) => `${depth} dead letters in ${name}`);
}

async function findUnfinishedTrips(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<{ id: string; status: string }[]>`
    select id, status from trips where status not in ('completed', 'cancelled', 'unfulfilled')`;
  return rows.map(({ id, status }) => `trip ${id} is still ${status}`);
}

async function findDriverHistoryViolations(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<{ violation: string }[]>`
    select format('driver %s is at version %s, their history has %s rows up to %s', d.id, d.version, count(h.version),
                  max(h.version)) as violation
    from drivers d join driver_history h on h.driver_id = d.id
    group by d.id having max(h.version) <> d.version or count(h.version) <> max(h.version) - min(h.version) + 1`;
  return rows.map(({ violation }) => violation);
}

async function findWrongCharges(testBed: TestBed): Promise<string[]> {
  const completed = await withSchema(
    testBed,
    'trip',
    (sql) => sql<{ id: string; fare_minor: string }[]>`
      select id, fare_minor from trips where status = 'completed'`,
  );
  const endedOtherwise = await withSchema(
    testBed,
    'trip',
    (sql) => sql<{ id: string }[]>`select id from trips where status in ('cancelled', 'unfulfilled')`,
  );
  const quotedMinor = new Map(completed.map(({ id, fare_minor }) => [id, Number(fare_minor)]));
  return withSchema(testBed, 'payment', async (sql) => [
    ...(await findChargeViolations(sql, [...quotedMinor.keys()])),
    ...(await findOvercharges(sql, quotedMinor)),
    ...(await findReleaseViolations(
      sql,
      endedOtherwise.map(({ id }) => id),
    )),
  ]);
}
