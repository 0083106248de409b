import { formatTimestamp } from '@contracts/common.ts';
import type { SignedOut } from '@contracts/events.ts';
import type { EventId } from '@contracts/ids.ts';
import type { Sql } from '@platform/postgres/database.ts';

/** The event to publish if what is done leaves the person without a session. */
export interface SignOut {
  eventId: EventId;
  atMs: number;
}

// A session that ends needs to know of one other that does not.
const lockedMax = 2;

/**
 * Body of a CTE: up to `limit` live sessions (id, person_id) of the people in the CTE named `people`,
 * locked in the order of their ids. Whatever ends sessions locks these first. So two sessions of a person
 * that end at the same time take turns, and the second finds the first ended although the statement began
 * before that: a locked row is read again once it can be locked.
 */
export const lockLiveSessions = (sql: Sql, people: string, nowMs: number, limit = lockedMax) => sql`
  select s.id, s.person_id from sessions s
  where s.person_id in (select person_id from ${sql(people)})
    and s.revoked_at_ms is null and s.expires_at_ms > ${nowMs}
  order by s.id limit ${limit}
  for update`;

/** Body of a CTE: publishes that the person in the CTE named `when` (id, role; one row or none) is signed out. */
export const insertSignedOutEvent = (
  sql: Sql,
  { eventId, atMs }: SignOut,
  cause: SignedOut['cause'],
  when: string,
) => sql`
  insert into outbox (event_id, type, subject, time_ms, data)
  select ${eventId}::uuid, 'user.signed_out.v1', id::text, ${atMs}::bigint,
         json_build_object('personId', id, 'role', role, 'cause', ${cause}::text, 'at', ${formatTimestamp(atMs)}::text)
  from ${sql(when)}`;

/** CTEs that end every session of the people in the CTE named `people` (person_id), locked as above. */
export const endAllSessions = (
  sql: Sql,
  people: string,
  atMs: number,
  why: 'banned' | 'credentials_changed',
) => sql`
  locked as materialized (
    select s.id from sessions s
    where s.person_id in (select person_id from ${sql(people)}) and s.revoked_at_ms is null
    order by s.id for update
  ), ended as (
    update sessions s set revoked_at_ms = ${atMs}, revoked_for = ${why} from locked
    where s.id = locked.id and s.revoked_at_ms is null
    returning s.id
  )`;
