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

/** What holds at any moment, also while things are broken. */
export async function checkRunningInvariants(stand: TestBed): Promise<string[]> {
  const found = await Promise.all([
    withSchema(stand, 'trip', (sql) => findTripViolations(sql)),
    withSchema(stand, 'payment', (sql) => findPaymentViolations(sql)),
  ]);
  return found.flat();
}

/** What holds some seconds after the last fault and the last ride. */
export async function checkFinalInvariants(
  stand: TestBed,
  history: ClientHistory,
  eavesdropper: EventRecorder,
): Promise<{ violations: string[]; events: number }> {
  const unsettled = await settle(stand);
  const nowMs = systemClock.nowMs();
  const heard = await eavesdropper.takeRecorded();
  const found = await Promise.all([
    withSchema(stand, 'trip', (sql) => findTripViolations(sql, { nowMs })),
    withSchema(stand, 'payment', (sql) => findPaymentViolations(sql, { nowMs })),
    withSchema(stand, 'trip', unfinishedTrips),
    withSchema(stand, 'driver', brokenDriverHistories),
    withSchema(stand, 'public', (sql) => checkHistory(sql, history)),
    withSchema(stand, 'public', (sql) => checkEvents(sql, heard)),
    wronglyCharged(stand),
    deadLetters(stand),
  ]);
  return { violations: [...unsettled, ...found.flat()], events: heard.length };
}

async function withSchema<T>(
  stand: TestBed,
  schema: string,
  work: (sql: postgres.Sql) => Promise<T>,
): Promise<T> {
  const sql = stand.connectPrimary(schema);
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}

const settleTimeoutMs = 60_000;
const pollMs = 250;

/** Outboxes and queues drained, nobody held or on a trip: one sentence for each that does not come true. */
async function settle(stand: TestBed): Promise<string[]> {
  const untilMs = systemClock.nowMs() + settleTimeoutMs;
  for (;;) {
    const waiting = await whatWaits(stand);
    if (waiting.length === 0 || systemClock.nowMs() > untilMs) return waiting;
    await systemClock.sleep(pollMs);
  }
}

async function whatWaits(stand: TestBed): Promise<string[]> {
  const rows = await withSchema(
    stand,
    'public',
    (sql) => sql<{ said: string }[]>`
    select format('%s events wait in the outbox of trip', count(*)) as said from trip.outbox having count(*) > 0
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
  const queues = await readQueueDepths(stand);
  const full = Object.entries(queues).filter(([name, depth]) => depth > 0 && !name.endsWith('.dlq'));
  return [
    ...rows.map(({ said }) => said),
    ...full.map(([name, depth]) => `${depth} messages wait in ${name}`),
  ];
}

/** Events that are committed and not yet published. */
export async function countOutboxRows(stand: TestBed): Promise<number> {
  const [row] = await withSchema(
    stand,
    'public',
    (sql) => sql<{ rows: number }[]>`
      select ((select count(*) from trip.outbox) + (select count(*) from payment.outbox)
              + (select count(*) from "user".outbox))::int as rows`,
  );
  return row?.rows ?? 0;
}

/** Messages (ready and unacknowledged) by queue, ours for eavesdropping left out. */
export async function readQueueDepths(stand: TestBed): Promise<Record<string, number>> {
  const listing =
    (await stand
      .server('rabbitmq')
      .runAdminCommand?.(['-q', '--no-table-headers', 'list_queues', 'name', 'messages'])) ?? '';
  const rows = listing
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([name = '', depth]) => depth !== undefined && !name.startsWith('chaos.'));
  return Object.fromEntries(rows.map(([name, depth]) => [name, Number(depth)]));
}

async function deadLetters(stand: TestBed): Promise<string[]> {
  const depths = Object.entries(await readQueueDepths(stand));
  return depths
    .filter(([name, depth]) => name.endsWith('.dlq') && depth > 0)
    .map(([name, depth]) => `${depth} dead letters in ${name}`);
}

async function unfinishedTrips(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<{ id: string; status: string }[]>`
    select id, status from trips where status not in ('completed', 'cancelled', 'unfulfilled')`;
  return rows.map(({ id, status }) => `trip ${id} is still ${status}`);
}

async function brokenDriverHistories(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<{ said: string }[]>`
    select format('driver %s is at version %s, his history has %s rows up to %s', d.id, d.version, count(h.version),
                  max(h.version)) as said
    from drivers d join driver_history h on h.driver_id = d.id
    group by d.id having max(h.version) <> d.version or count(h.version) <> max(h.version) - min(h.version) + 1`;
  return rows.map(({ said }) => said);
}

async function wronglyCharged(stand: TestBed): Promise<string[]> {
  const completed = await withSchema(
    stand,
    'trip',
    (sql) => sql<{ id: string; fare_minor: string }[]>`
      select id, fare_minor from trips where status = 'completed'`,
  );
  const others = await withSchema(
    stand,
    'trip',
    (sql) => sql<{ id: string }[]>`select id from trips where status in ('cancelled', 'unfulfilled')`,
  );
  const quotedMinor = new Map(completed.map(({ id, fare_minor }) => [id, Number(fare_minor)]));
  return withSchema(stand, 'payment', async (sql) => [
    ...(await findChargeViolations(sql, [...quotedMinor.keys()])),
    ...(await findOvercharges(sql, quotedMinor)),
    ...(await findReleaseViolations(
      sql,
      others.map(({ id }) => id),
    )),
  ]);
}
