import type { DomainEvent, EventType } from '@contracts/events.ts';
import type { EventId, PersonId } from '@contracts/ids.ts';
import type postgres from 'postgres';
import { problem } from '../problems.ts';
import type { Sql } from './sql.ts';

/**
 * Parts of a write, which is always one statement (docs/adr/0002). Each function returns the body of a CTE:
 *
 *     with claimed as (${claimIdempotencyKey(sql, key, answer, nowMs)}),
 *          created as (insert into trips … select … where exists (select from claimed) returning id),
 *          event as (${insertEvent(sql, event, 'created')})
 *     select count(*) from created
 */

/** Inserts `event` into the outbox if the CTE named `when` has a row (it has one row or none). */
export function insertEvent<T extends EventType>(sql: Sql, event: DomainEvent<T>, when: string) {
  return sql`
    insert into outbox (event_id, type, subject, time_ms, traceparent, data)
    select ${event.id}::uuid, ${event.type}::text, ${event.subject}::text, ${Date.parse(event.time)}::bigint,
           ${event.traceparent ?? null}::text, ${jsonParameter(sql, event.data)}
    from ${sql(when)}`;
}

/**
 * Inserts events into the outbox in their order. With `where`, only those whose row (named `event`) meets the
 * condition. They travel as one JSON array: one array per column costs the client twice as much, for escaping.
 */
export function insertEvents(sql: Sql, events: readonly DomainEvent[], where = sql``) {
  const rows = events.map(({ id, time, traceparent = null, ...event }) => ({
    ...event,
    event_id: id,
    time_ms: Date.parse(time),
    traceparent,
  }));
  return sql`
    insert into outbox (event_id, type, subject, time_ms, traceparent, data)
    select event_id, type, subject, time_ms, traceparent, data
    from json_populate_recordset(null::outbox, ${jsonParameter(sql, rows)}) with ordinality as event
    ${where}
    order by ordinality`;
}

/**
 * Records in the inbox that `consumer` applies the event. Returns a row unless the consumer has applied it before.
 * With `when`, only if the CTE of that name has its row (one or none): for an effect with a fence of its own.
 */
export function claimEvent(sql: Sql, consumer: string, eventId: EventId, nowMs: number, when?: string) {
  return sql`
    insert into inbox (consumer, event_id, at_ms)
    select ${consumer}::text, ${eventId}::uuid, ${nowMs}::bigint
    ${when === undefined ? sql`` : sql`from ${sql(when)}`}
    on conflict do nothing
    returning event_id`;
}

/** Does the same as `claimEvent` for several events. Returns a row for each that the consumer has not applied before. */
export function claimEvents(sql: Sql, consumer: string, eventIds: readonly EventId[], nowMs: number) {
  return sql`
    insert into inbox (consumer, event_id, at_ms)
    select ${consumer}::text, event_id, ${nowMs}::bigint
    from unnest(${[...eventIds]}::uuid[]) as event_id
    on conflict do nothing
    returning event_id`;
}

/** The caller, the key that they chose, and a digest of the request. */
export interface IdempotencyKey {
  personId: PersonId;
  key: string;
  fingerprint: string;
}

/**
 * Stores the response under its key. Returns a row unless the key was used before. With `when`, only if the CTE of
 * that name has its row (one or none).
 */
export function claimIdempotencyKey(
  sql: Sql,
  { personId, key, fingerprint }: IdempotencyKey,
  response: unknown,
  nowMs: number,
  when?: string,
) {
  return sql`
    insert into idempotency (person_id, key, fingerprint, response, at_ms)
    select ${personId}::uuid, ${key}::text, ${fingerprint}::text, ${jsonParameter(sql, response)}, ${nowMs}::bigint
    ${when === undefined ? sql`` : sql`from ${sql(when)}`}
    on conflict do nothing
    returning key`;
}

// Stored responses expire after days. A key whose response expires between the two statements can be used again, so
// the loop seldom needs a second attempt.
const attemptsMax = 3;

/**
 * Returns the response stored under this key, or else that of `write`, which returns undefined when its statement
 * found the key used. Every returned response was stored, whatever the sweeper deletes in between.
 */
export async function respondOnce<Result>(
  sql: Sql,
  key: IdempotencyKey,
  write: () => Promise<Result | undefined>,
): Promise<Result> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const response = (await findResponse<Result>(sql, key)) ?? (await write());
    if (response !== undefined) return response;
  }
  throw problem('service.unavailable', {
    detail: 'the response under this idempotency key is expiring',
    retryAfterSeconds: 1,
  });
}

/**
 * Returns the response stored under this key, or undefined when there is none.
 * Throws `idempotency.key_reused` when the key was used for a different request.
 */
export async function findResponse<Result>(
  sql: Sql,
  { personId, key, fingerprint }: IdempotencyKey,
): Promise<Result | undefined> {
  const [row] = await sql<{ fingerprint: string; response: Result }[]>`
    select fingerprint, response from idempotency where person_id = ${personId} and key = ${key}`;
  if (row === undefined) return undefined;
  if (row.fingerprint !== fingerprint) throw problem('idempotency.key_reused');
  return row.response;
}

/** Passes any plain value as a jsonb parameter. */
export const jsonbParameter = (sql: Sql, value: unknown) => sql.json(value as postgres.JSONValue);

const jsonOid = 114;
/** Passes any plain value as a json parameter, which PostgreSQL stores byte for byte; `sql.json` passes jsonb, which it parses. */
export const jsonParameter = (sql: Sql, value: unknown) => sql.typed(value, jsonOid);

const uniqueViolation = '23505';
const checkViolation = '23514';

/** Returns the name of the unique index or check constraint that a write violated, or undefined for another error. */
export function violatedConstraint(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  if (error.code !== uniqueViolation && error.code !== checkViolation) return undefined;
  return 'constraint_name' in error ? String(error.constraint_name) : undefined;
}
