import { formatTimestamp } from '@contracts/common.ts';
import type { SignedOut } from '@contracts/events.ts';
import type { EventId } from '@contracts/ids.ts';
import type { Sql } from '@platform/postgres/database.ts';

/** The event to publish if the statement leaves the person without a session. */
export interface SignOut {
  eventId: EventId;
  atMs: number;
}

// The session that ends, and one other: that is enough to know whether it was the last one.
const lockedMax = 2;

/**
 * Body of a CTE: up to `limit` live sessions (id, person_id) of the people in the CTE named `people`,
 * locked in the order of their ids. Every statement that ends sessions takes these locks first. So two
 * sessions of a person that end at the same time are serialized, and the second statement sees the first
 * session as ended even if it began earlier: PostgreSQL reads a row again after waiting for its lock.
 */
export const lockLiveSessions = (sql: Sql, people: string, nowMs: number, limit = lockedMax) => sql`
  select s.id, s.person_id from sessions s
  where s.person_id in (select person_id from ${sql(people)})
    and s.revoked_at_ms is null and s.expires_at_ms > ${nowMs}
  order by s.id limit ${limit}
  for update`;

/** Body of a statement: writes the sign-out event of the person in the CTE named `person` (id, role; one row or none). */
export const insertSignedOutEvent = (
  sql: Sql,
  { eventId, atMs }: SignOut,
  cause: SignedOut['cause'],
  person: string,
) => sql`
  insert into outbox (event_id, type, subject, time_ms, data)
  select ${eventId}::uuid, 'user.signed_out.v1', id::text, ${atMs}::bigint,
         json_build_object('personId', id, 'role', role, 'cause', ${cause}::text, 'at', ${formatTimestamp(atMs)}::text)
  from ${sql(person)}`;

/** CTEs that end every session of the people in the CTE named `people` (person_id), with the same lock order. */
export const endAllSessions = (
  sql: Sql,
  people: string,
  atMs: number,
  reason: 'banned' | 'credentials_changed',
) => sql`
  locked as materialized (
    select s.id from sessions s
    where s.person_id in (select person_id from ${sql(people)}) and s.revoked_at_ms is null
    order by s.id for update
  ), ended as (
    update sessions s set revoked_at_ms = ${atMs}, revoked_for = ${reason} from locked
    where s.id = locked.id and s.revoked_at_ms is null
    returning s.id
  )`;
