import type { DomainEvent } from '@contracts/events.ts';
import type { PersonId } from '@contracts/ids.ts';
import {
  findChargeViolations,
  findOvercharges,
  findPaymentViolations,
  findReleaseViolations,
} from '@invariants/payments.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { notificationsOf } from '@modules/notification/recipients.ts';
import type { Sql } from '@platform/postgres/database.ts';
import type { RunHistory } from './history.ts';
import type { SimPerson } from './people/person.ts';
import type { Phone } from './people/phone.ts';
import type { SimWorld } from './world.ts';

export interface FinishedRun {
  world: SimWorld;
  history: RunHistory;
  people: { person: SimPerson; phone: Phone }[];
}

/** Everything that must hold once the faults are over and all is quiet: one sentence for each violation. */
export async function findViolations({ world, history, people }: FinishedRun): Promise<string[]> {
  const { databases, broker, scheduler } = world;
  const trip = databases.trip.primary;
  const payment = databases.payment.primary;
  const nowMs = scheduler.nowMs();
  const ended = await trip<{ id: string }[]>`
    select id from trips where status in ('cancelled', 'unfulfilled') order by id`;
  const completed = await trip<{ id: string; fare_minor: number }[]>`
    select id, fare_minor from trips where status = 'completed' order by id`;
  const found = [
    ...history.violations,
    ...scheduler.trace.filter((line) => line.includes('VIOLATION')),
    ...(await findTripViolations(trip, { nowMs })),
    ...(await findPaymentViolations(payment, { nowMs })),
    ...(await findChargeViolations(
      payment,
      completed.map(({ id }) => id),
    )),
    ...(await findReleaseViolations(
      payment,
      ended.map(({ id }) => id),
    )),
    ...(await findOvercharges(payment, new Map(completed.map(({ id, fare_minor }) => [id, fare_minor])))),
    ...(await unfinished(world)),
    ...(await untold(world)),
    ...(await unapplied(world)),
    ...queueBooks(world),
    ...(await clientsAgainst(trip, history)),
    ...(await moneyAgainst(payment, history)),
    ...(await inboxes(world, people)),
  ];
  if (!broker.isQuiet()) found.push('the queues are not empty long after the faults');
  return found;
}

/** e: after the faults every trip, charge, refund and driver comes to an end, and every event leaves. */
async function unfinished({ databases: { trip, payment, driver } }: SimWorld): Promise<string[]> {
  return said(
    trip.primary`
      select format('trip %s is still %s', id, status) as said from trips where timer_at_ms is not null
      union all select format('%s events of trips never left', count(*)) from outbox having count(*) > 0`,
    payment.primary`
      select format('payment %s is still %s', id, status) as said from payments
      where timer_at_ms is not null and status <> 'failed'
      union all select format('reversal %s is still %s', id, status) from reversals where timer_at_ms is not null
      union all select format('refund %s is still %s', id, status) from refunds where timer_at_ms is not null
      union all select format('%s events of payments never left', count(*)) from outbox having count(*) > 0`,
    driver.primary`
      select format('driver %s is still %s', id, status) as said from drivers where status in ('held', 'on_trip')`,
  );
}

/** f: each transition has exactly one event, which the broker has confirmed. */
async function untold({ databases, broker }: SimWorld): Promise<string[]> {
  const trips = await databases.trip.primary<{ subject: string; version: number }[]>`
    select trip_id as subject, version from trip_history order by 1, 2`;
  const ended = await databases.payment.primary<{ subject: string; status: string }[]>`
    select payment_id as subject, to_status as status from payment_history
    where to_status in ('captured', 'failed', 'refunded', 'declined')
       or (from_status = 'authorised' and to_status = 'voided')
    order by 1, version`;
  const told = countBy([...broker.confirmed.values()].flatMap(momentOf));
  const wanted = countBy([
    ...trips.map(({ subject, version }) => `trip ${subject} version ${version}`),
    ...ended.map(({ subject, status }) => `payment ${subject} ${status}`),
  ]);
  return [...new Set([...told.keys(), ...wanted.keys()])].flatMap((moment) => {
    const [had, has] = [wanted.get(moment) ?? 0, told.get(moment) ?? 0];
    // A part of a refund leaves a payment captured, and tells of it as a refund; a debt is told of once.
    const same = moment.startsWith('trip')
      ? had === has
      : had > 0 === has > 0 || /captured|refunded/.test(moment);
    return same ? [] : [`${moment} happened ${had} times and was told by ${has} events`];
  });
}

/** None of events that are no transition of a trip or a payment. */
function momentOf({ subject, data }: DomainEvent): string[] {
  if ('version' in data) return [`trip ${subject} version ${data.version}`];
  return 'status' in data ? [`payment ${subject} ${data.status}`] : [];
}

/** f, l: every confirmed event was applied by each queue that asked for it, once by the inbox where there is one. */
async function unapplied({ databases, broker }: SimWorld): Promise<string[]> {
  const events = [...broker.confirmed.values()];
  const missing = broker
    .queues()
    .flatMap(({ name, types, doneIds }) =>
      events
        .filter(({ id, type }) => types.has(type) && !doneIds.has(id))
        .map(({ id, type }) => `event ${id} (${type}) was confirmed and never handled by ${name}`),
    );
  const ids = (name: string) => events.filter(({ type }) => asks(broker, name, type)).map(({ id }) => id);
  const inboxes = await said(
    databases.payment.primary`
      select format('event %s is not in the inbox of payments', id) as said
      from unnest(${ids('payment.trips')}::uuid[]) as id
      where not exists (select from inbox where event_id = id and consumer = 'payment.trips')`,
    databases.payment.primary`
      select format('trip %s has %s payments', trip_id, count(*)) as said
      from payments group by trip_id having count(*) > 1`,
  );
  return [...missing, ...inboxes];
}

const asks = ({ queues }: SimWorld['broker'], name: string, type: DomainEvent['type']): boolean =>
  queues().some((queue) => queue.name === name && queue.types.has(type));

/** l: what came into a queue is done, ready, unacknowledged, waiting for a retry or dead; and here nothing dies. */
function queueBooks({ broker }: SimWorld): string[] {
  return broker
    .queues()
    .flatMap(({ name, storedCount, doneCount, ready, awaitingRetryCount, deadLetters, consumers }) => {
      const unacked = consumers.reduce((sum, { unsettled }) => sum + unsettled.size, 0);
      const sum = doneCount + ready.length + unacked + awaitingRetryCount + deadLetters.length;
      const letters = deadLetters.map(({ type, reason }) => `${name} gave up ${type}: ${reason}`);
      return storedCount === sum
        ? letters
        : [...letters, `${name}: ${storedCount} came in, ${sum} are accounted for`];
    });
}

const statusAfter = {
  accept: 'assigned',
  decline: 'requested',
  arrive: 'arrived',
  start: 'in_progress',
  complete: 'completed',
  cancel: 'cancelled',
  hand_over: 'requested',
} as const;

/** d: what was acknowledged is there, and nothing is there that nobody asked for. */
async function clientsAgainst(sql: Sql, history: RunHistory): Promise<string[]> {
  const rows = await sql<{ tripId: string; to: string; actorId: string | null; quoteId: string }[]>`
    select h.trip_id as "tripId", to_status as "to", actor_id as "actorId", quote_id as "quoteId"
    from trip_history h join trips t on t.id = h.trip_id order by h.trip_id, h.version`;
  const lost = history.acknowledgedActions.flatMap(({ personId, action, answer }) => {
    if (action.kind === 'create')
      return rows.some(
        (row) => row.quoteId === action.quoteId && row.tripId === answer.id && row.to === 'requested',
      )
        ? []
        : [`trip ${answer.id} was acknowledged to ${personId} and is not there`];
    // A decline is also answered well when the offer has lapsed by itself: it is gone, as was wanted.
    if (action.kind === 'decline' || !(action.kind in statusAfter) || !('tripId' in action)) return [];
    if (action.kind === 'rating') return [];
    const to = statusAfter[action.kind];
    // Completing is also answered well when somebody else did it first: the ride is over, as was wanted.
    const isTheirs = (actorId: string | null) => actorId === personId || action.kind === 'complete';
    return rows.some((row) => row.tripId === action.tripId && row.to === to && isTheirs(row.actorId))
      ? []
      : [`${action.kind} of trip ${action.tripId} was acknowledged to ${personId} and is not in its history`];
  });
  const fromNowhere = rows.flatMap(({ tripId, to, actorId, quoteId }) => {
    if (actorId === null) return [];
    const actions =
      to === 'requested'
        ? [
            { kind: 'create', quoteId } as const,
            { kind: 'decline', tripId } as const,
            { kind: 'hand_over', tripId } as const,
          ]
        : Object.entries(statusAfter).flatMap(([kind, status]) =>
            status === to ? [{ kind: kind as keyof typeof statusAfter, tripId }] : [],
          );
    return actions.some((action) => history.wasAttempted(actorId, action))
      ? []
      : [`trip ${tripId} became ${to} by ${actorId}, who never asked for it`];
  });
  return [...lost, ...fromNowhere];
}

async function moneyAgainst(sql: Sql, history: RunHistory): Promise<string[]> {
  const known = new Set(
    (
      await sql<{ id: string }[]>`
        select id from payment_methods union select id from quotes union select id from refunds`
    ).map(({ id }) => id),
  );
  return history.acknowledgedActions.flatMap(({ personId, action, answer }) =>
    ['method', 'quote', 'refund'].includes(action.kind) && !known.has(String(answer.id))
      ? [`${action.kind} ${answer.id} was acknowledged to ${personId} and is not there`]
      : [],
  );
}

/** i: each person was told of every confirmed event that concerns them, once, by seqs without a gap. */
async function inboxes(
  { inbox, broker, scheduler, sessions }: SimWorld,
  people: FinishedRun['people'],
): Promise<string[]> {
  const wanted = new Map<string, Set<string>>();
  for (const event of broker.confirmed.values()) {
    for (const { personId } of notificationsOf(event))
      wanted.set(personId, (wanted.get(personId) ?? new Set()).add(event.id));
  }
  const found: string[] = [];
  for (const { person, phone } of people) {
    const name = person.scope.name;
    const got = phone.events.map(({ id }) => id);
    const expected = wanted.get(person.id) ?? new Set();
    if (phone.lossCount > 0) found.push(`${name} was told that notifications are lost`);
    // Their connection ended with their session, or with their phone.
    const isGone = person.scope.state === 'dead' || sessions.isBanned(person.id);
    for (const id of isGone ? [] : expected)
      if (!got.includes(id)) found.push(`${name} was never told of event ${id}`);
    for (const [id, times] of countBy(got))
      if (times > 1) found.push(`${name} was told ${times} times of event ${id}`);
    for (const id of got)
      if (!expected.has(id))
        found.push(`${name} was told of event ${id}, which is not theirs or was never confirmed`);
    const { entries } = await inbox.read(person.id as PersonId, 0, 500, scheduler.nowMs());
    const seqs = entries.map(({ seq }) => seq);
    if (seqs.some((seq, at) => at > 0 && seq !== (seqs[at - 1] ?? 0) + 1))
      found.push(`${name}'s inbox has a gap`);
    if (!isGone && entries.length !== got.length)
      found.push(`${name} has ${got.length} of ${entries.length} notifications`);
  }
  return found;
}

function countBy(keys: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

async function said(...queries: PromiseLike<Iterable<{ said?: string }>>[]): Promise<string[]> {
  const rows = await Promise.all(queries);
  return rows.flatMap((each) => [...each].map((row) => row.said ?? ''));
}
