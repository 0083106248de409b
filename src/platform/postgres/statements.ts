import type { DomainEvent, EventType } from '@contracts/events.ts';
import type { EventId, PersonId } from '@contracts/ids.ts';
import type postgres from 'postgres';
import { problem } from '../problems.ts';
import type { Sql } from './database.ts';

/**
 * Parts of the one statement that a write is. Each is the body of a CTE:
 *
 *     with claimed as (${claimIdempotencyKey(sql, key, answer, nowMs)}),
 *          created as (insert into trips … select … where exists (select from claimed) returning id),
 *          told as (${insertEvent(sql, event, 'created')})
 *     select count(*) from created
 */

/** Puts `event` into the outbox once for each row of the CTE named `when` (which has one row or none). */
export function insertEvent<T extends EventType>(sql: Sql, event: DomainEvent<T>, when: string) {
  return sql`
    insert into outbox (event_id, type, subject, time_ms, traceparent, data)
    select ${event.id}::uuid, ${event.type}::text, ${event.subject}::text, ${Date.parse(event.time)}::bigint,
           ${event.traceparent ?? null}::text, ${jsonParameter(sql, event.data)}
    from ${sql(when)}`;
}

/**
 * Puts all of them into the outbox, in their order; with `where`, those whose row (named `event`) meets it.
 * As one JSON list: an array for each column costs the client twice as much, in escapes of the data.
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
 * Notes that `consumer` applies the event; gives a row unless it has applied it before. With `when`,
 * only if the CTE of that name (one row or none) has its row: for an effect with a fence of its own.
 */
export function claimEvent(sql: Sql, consumer: string, eventId: EventId, nowMs: number, when?: string) {
  return sql`
    insert into inbox (consumer, event_id, at_ms)
    select ${consumer}::text, ${eventId}::uuid, ${nowMs}::bigint
    ${when === undefined ? sql`` : sql`from ${sql(when)}`}
    on conflict do nothing
    returning event_id`;
}

/** As `claimEvent`, for several at once: gives a row for each that the consumer has not applied before. */
export function claimEvents(sql: Sql, consumer: string, eventIds: readonly EventId[], nowMs: number) {
  return sql`
    insert into inbox (consumer, event_id, at_ms)
    select ${consumer}::text, event_id, ${nowMs}::bigint
    from unnest(${[...eventIds]}::uuid[]) as event_id
    on conflict do nothing
    returning event_id`;
}

/** Who asked, the key they chose, and a digest of what they asked for. */
export interface IdempotencyKey {
  personId: PersonId;
  key: string;
  fingerprint: string;
}

/**
 * Keeps the answer under its key; gives a row unless the key was used before. With `when`, only if the CTE of
 * that name (one row or none) has its row.
 */
export function claimIdempotencyKey(
  sql: Sql,
  { personId, key, fingerprint }: IdempotencyKey,
  answer: unknown,
  nowMs: number,
  when?: string,
) {
  return sql`
    insert into idempotency (person_id, key, fingerprint, response, at_ms)
    select ${personId}::uuid, ${key}::text, ${fingerprint}::text, ${jsonParameter(sql, answer)}, ${nowMs}::bigint
    ${when === undefined ? sql`` : sql`from ${sql(when)}`}
    on conflict do nothing
    returning key`;
}

// An answer is swept after days. A key that was used and has no answer can be used anew, once or twice in a row.
const roundsMax = 3;

/**
 * The answer under this key: the first one, if there is one, else that of `write`, which gives undefined when
 * its statement found the key used. So an answer that is given was stored, whatever the sweeper does in between.
 */
export async function respondOnce<Answer>(
  sql: Sql,
  key: IdempotencyKey,
  write: () => Promise<Answer | undefined>,
): Promise<Answer> {
  for (let round = 0; round < roundsMax; round++) {
    const answer = (await findResponse<Answer>(sql, key)) ?? (await write());
    if (answer !== undefined) return answer;
  }
  throw problem('service.unavailable', {
    detail: 'the idempotency key is being forgotten',
    retryAfterSeconds: 1,
  });
}

/**
 * The answer that was given under this key, or undefined when there was none.
 * Throws `idempotency.key_reused` when it was given to another request.
 */
export async function findResponse<Answer>(
  sql: Sql,
  { personId, key, fingerprint }: IdempotencyKey,
): Promise<Answer | undefined> {
  const [row] = await sql<{ fingerprint: string; response: Answer }[]>`
    select fingerprint, response from idempotency where person_id = ${personId} and key = ${key}`;
  if (row === undefined) return undefined;
  if (row.fingerprint !== fingerprint) throw problem('idempotency.key_reused');
  return row.response;
}

/** Any plain value as a jsonb parameter. */
export const jsonbParameter = (sql: Sql, value: unknown) => sql.json(value as postgres.JSONValue);

const jsonOid = 114;
/** Any plain value as a json parameter, which PostgreSQL keeps byte for byte; `sql.json` declares jsonb, which it takes apart. */
export const jsonParameter = (sql: Sql, value: unknown) => sql.typed(value, jsonOid);

const uniqueViolation = '23505';
const checkViolation = '23514';

/** The name of the unique index or check constraint that a write ran into, if that is what went wrong. */
export function violatedConstraint(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  if (error.code !== uniqueViolation && error.code !== checkViolation) return undefined;
  return 'constraint_name' in error ? String(error.constraint_name) : undefined;
}
