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

/** Checks everything that must hold once faults have ended and the system is quiet. Returns one sentence for each violation. */
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
    ...(await findUnfinishedWork(world)),
    ...(await findTransitionsWithoutEvent(world)),
    ...(await findUnhandledEvents(world)),
    ...findLostMessages(world),
    ...(await findTripsUnlikeHistory(trip, history)),
    ...(await findLostMoneyRecords(payment, history)),
    ...(await findNotificationViolations(world, people)),
  ];
  if (!broker.isQuiet()) found.push('the queues are not empty long after the faults');
  return found;
}

/** e: every trip, charge and refund ends, every driver becomes free, and every event is published. */
async function findUnfinishedWork({ databases: { trip, payment, driver } }: SimWorld): Promise<string[]> {
  return queryViolations(
    trip.primary`
      select format('trip %s is still %s', id, status) as violation from trips where timer_at_ms is not null
      union all select format('%s trip events were never published', count(*)) from outbox having count(*) > 0`,
    payment.primary`
      select format('payment %s is still %s', id, status) as violation from payments
      where timer_at_ms is not null and status <> 'failed'
      union all select format('reversal %s is still %s', id, status) from reversals where timer_at_ms is not null
      union all select format('refund %s is still %s', id, status) from refunds where timer_at_ms is not null
      union all select format('%s payment events were never published', count(*)) from outbox having count(*) > 0`,
    driver.primary`
      select format('driver %s is still %s', id, status) as violation from drivers where status in ('held', 'on_trip')`,
  );
}

/** f: each transition has exactly one event, and the broker has confirmed it. */
async function findTransitionsWithoutEvent({ databases, broker }: SimWorld): Promise<string[]> {
  const trips = await databases.trip.primary<{ subject: string; version: number }[]>`
    select trip_id as subject, version from trip_history order by 1, 2`;
  const ended = await databases.payment.primary<{ subject: string; status: string }[]>`
    select payment_id as subject, to_status as status from payment_history
    where to_status in ('captured', 'failed', 'refunded', 'declined')
       or (from_status = 'authorised' and to_status = 'voided')
    order by 1, version`;
  const publishedCounts = countBy([...broker.confirmed.values()].flatMap(transitionOf));
  const expectedCounts = countBy([
    ...trips.map(({ subject, version }) => `trip ${subject} version ${version}`),
    ...ended.map(({ subject, status }) => `payment ${subject} ${status}`),
  ]);
  return [...new Set([...publishedCounts.keys(), ...expectedCounts.keys()])].flatMap((transition) => {
    const [happened, published] = [expectedCounts.get(transition) ?? 0, publishedCounts.get(transition) ?? 0];
    // A partial refund leaves the payment captured but publishes a refund; a debt is published once.
    const isConsistent = transition.startsWith('trip')
      ? happened === published
      : happened > 0 === published > 0 || /captured|refunded/.test(transition);
    return isConsistent ? [] : [`${transition} happened ${happened} times and has ${published} events`];
  });
}

/** The transition that an event reports; none for events that are not transitions of a trip or a payment. */
function transitionOf({ subject, data }: DomainEvent): string[] {
  if ('version' in data) return [`trip ${subject} version ${data.version}`];
  return 'status' in data ? [`payment ${subject} ${data.status}`] : [];
}

/** f, l: every confirmed event was handled by each queue that subscribes to it, and applied once where there is an inbox. */
async function findUnhandledEvents({ databases, broker }: SimWorld): Promise<string[]> {
  const events = [...broker.confirmed.values()];
  const missing = broker
    .queues()
    .flatMap(({ name, types, doneIds }) =>
      events
        .filter(({ id, type }) => types.has(type) && !doneIds.has(id))
        .map(({ id, type }) => `event ${id} (${type}) was confirmed and never handled by ${name}`),
    );
  const ids = (name: string) =>
    events.filter(({ type }) => subscribes(broker, name, type)).map(({ id }) => id);
  const inboxViolations = await queryViolations(
    databases.payment.primary`
      select format('event %s is not in the inbox of payments', id) as violation
      from unnest(${ids('payment.trips')}::uuid[]) as id
      where not exists (select from inbox where event_id = id and consumer = 'payment.trips')`,
    databases.payment.primary`
      select format('trip %s has %s payments', trip_id, count(*)) as violation
      from payments group by trip_id having count(*) > 1`,
  );
  return [...missing, ...inboxViolations];
}

const subscribes = ({ queues }: SimWorld['broker'], name: string, type: DomainEvent['type']): boolean =>
  queues().some((queue) => queue.name === name && queue.types.has(type));

/** l: every stored message is done, ready, unacknowledged, awaiting a retry or dead; and here none may be dead. */
function findLostMessages({ broker }: SimWorld): string[] {
  return broker
    .queues()
    .flatMap(({ name, storedCount, doneCount, ready, awaitingRetryCount, deadLetters, consumers }) => {
      const unacknowledged = consumers.reduce((sum, { unsettled }) => sum + unsettled.size, 0);
      const sum = doneCount + ready.length + unacknowledged + awaitingRetryCount + deadLetters.length;
      const deadLetterViolations = deadLetters.map(
        ({ type, reason }) => `${name} has a dead letter ${type}: ${reason}`,
      );
      return storedCount === sum
        ? deadLetterViolations
        : [...deadLetterViolations, `${name}: ${storedCount} messages were stored, ${sum} are accounted for`];
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

/** d: what was acknowledged exists, and nothing exists that nobody requested. */
async function findTripsUnlikeHistory(sql: Sql, history: RunHistory): Promise<string[]> {
  const rows = await sql<{ tripId: string; to: string; actorId: string | null; quoteId: string }[]>`
    select h.trip_id as "tripId", to_status as "to", actor_id as "actorId", quote_id as "quoteId"
    from trip_history h join trips t on t.id = h.trip_id order by h.trip_id, h.version`;
  const lost = history.acknowledgedActions.flatMap(({ personId, action, answer }) => {
    if (action.kind === 'create')
      return rows.some(
        (row) => row.quoteId === action.quoteId && row.tripId === answer.id && row.to === 'requested',
      )
        ? []
        : [`trip ${answer.id} was acknowledged to ${personId} and does not exist`];
    // A decline also succeeds when the offer has already lapsed.
    if (action.kind === 'decline' || !(action.kind in statusAfter) || !('tripId' in action)) return [];
    if (action.kind === 'rating') return [];
    const to = statusAfter[action.kind];
    // Completing also succeeds when somebody else completed the trip first.
    const isTheirs = (actorId: string | null) => actorId === personId || action.kind === 'complete';
    return rows.some((row) => row.tripId === action.tripId && row.to === to && isTheirs(row.actorId))
      ? []
      : [`${action.kind} of trip ${action.tripId} was acknowledged to ${personId} and is not in its history`];
  });
  const unrequested = rows.flatMap(({ tripId, to, actorId, quoteId }) => {
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
      : [`trip ${tripId} became ${to} by ${actorId}, who never requested it`];
  });
  return [...lost, ...unrequested];
}

async function findLostMoneyRecords(sql: Sql, history: RunHistory): Promise<string[]> {
  const known = new Set(
    (
      await sql<{ id: string }[]>`
        select id from payment_methods union select id from quotes union select id from refunds`
    ).map(({ id }) => id),
  );
  return history.acknowledgedActions.flatMap(({ personId, action, answer }) =>
    ['method', 'quote', 'refund'].includes(action.kind) && !known.has(String(answer.id))
      ? [`${action.kind} ${answer.id} was acknowledged to ${personId} and does not exist`]
      : [],
  );
}

/** i: each person received every confirmed event that concerns them once, with seqs without a gap. */
async function findNotificationViolations(
  { inbox, broker, scheduler, sessions }: SimWorld,
  people: FinishedRun['people'],
): Promise<string[]> {
  const expectedEventIds = new Map<string, Set<string>>();
  for (const event of broker.confirmed.values()) {
    for (const { personId } of notificationsOf(event))
      expectedEventIds.set(personId, (expectedEventIds.get(personId) ?? new Set()).add(event.id));
  }
  const found: string[] = [];
  for (const { person, phone } of people) {
    const name = person.scope.name;
    const receivedIds = phone.events.map(({ id }) => id);
    const expected = expectedEventIds.get(person.id) ?? new Set();
    if (phone.lossCount > 0) found.push(`${name} received a report of lost notifications`);
    // Their connection ended with their login session or their phone.
    const isGone = person.scope.state === 'dead' || sessions.isBanned(person.id);
    for (const id of isGone ? [] : expected)
      if (!receivedIds.includes(id)) found.push(`${name} never received event ${id}`);
    for (const [id, times] of countBy(receivedIds))
      if (times > 1) found.push(`${name} received event ${id} ${times} times`);
    for (const id of receivedIds)
      if (!expected.has(id))
        found.push(`${name} received event ${id}, which does not concern them or was never confirmed`);
    const { entries } = await inbox.read(person.id as PersonId, 0, 500, scheduler.nowMs());
    const seqs = entries.map(({ seq }) => seq);
    if (seqs.some((seq, index) => index > 0 && seq !== (seqs[index - 1] ?? 0) + 1))
      found.push(`${name}'s inbox has a gap`);
    if (!isGone && entries.length !== receivedIds.length)
      found.push(`${name} has ${receivedIds.length} of ${entries.length} notifications`);
  }
  return found;
}

function countBy(keys: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

async function queryViolations(
  ...queries: PromiseLike<Iterable<{ violation?: string }>>[]
): Promise<string[]> {
  const rows = await Promise.all(queries);
  return rows.flatMap((each) => [...each].map((row) => row.violation ?? ''));
}
