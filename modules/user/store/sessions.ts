import type { PersonId } from '@contracts/ids.ts';
import type { Sql } from '@platform/postgres/database.ts';
import type { Account, Credentials } from './account.ts';
import { insertSignedOutEvent, lockLiveSessions, type SignOut } from './sign-outs.ts';

/** A refresh token to store: only its hash. */
export interface NewRefreshToken {
  hash: Uint8Array;
  issuedAtMs: number;
  expiresAtMs: number;
}

export interface NewLoginSession {
  id: string;
  token: NewRefreshToken;
}

/** A token that replaces another one, and the salt that it was derived with. */
export interface SuccessorToken extends NewRefreshToken {
  salt: Uint8Array;
}

export type RotationOutcome =
  | { kind: 'rotated'; account: Account; sessionId: string }
  /** The token was used within the grace period and its successor never: a lost response, or two callers at once. */
  | { kind: 'repeated'; account: Account; sessionId: string; salt: Uint8Array; usedAtMs: number }
  /** The token was used before. Its session is now revoked. */
  | { kind: 'reused'; personId: PersonId; sessionId: string }
  /** The token is unknown or expired, or its session has ended. */
  | { kind: 'refused' };

interface RotationRow extends Account {
  kind: 'rotated' | 'repeated' | 'reused';
  sessionId: string;
  salt: Uint8Array;
  usedAtMs: number;
}

export function createSessionStore(sql: Sql) {
  return {
    ...createLogouts(sql),

    /**
     * Stores the session of a login. False if the credentials have changed or the person was banned while
     * the hash was computed.
     */
    async openSession({ account, passwordHash }: Credentials, session: NewLoginSession): Promise<boolean> {
      const rows = await sql`
        with person as (
          select id from people
          where id = ${account.id} and password_hash = ${passwordHash} and banned_at_ms is null for share
        ), ${insertSession(sql, session, 'person')}
        select id from person`;
      return rows.length > 0;
    },

    /**
     * Marks the token as used and stores `next` as its successor. Ends the session if the token was used
     * more than `graceMs` ago or its successor is in use. The row lock serializes two callers with the same
     * token: the second one sees it as used. `signOut` is published if the session was the last one.
     */
    async rotateRefreshToken(
      hash: Uint8Array,
      next: SuccessorToken,
      graceMs: number,
      signOut: SignOut,
    ): Promise<RotationOutcome> {
      const { issuedAtMs: nowMs, expiresAtMs } = next;
      const [row] = await sql<RotationRow[]>`
        with presented as (
          select * from refresh_tokens where hash = ${hash} for update
        ), extended as (
          update sessions s set expires_at_ms = ${expiresAtMs} from presented, people p
          where s.id = presented.session_id and s.revoked_at_ms is null
            and p.id = s.person_id and p.banned_at_ms is null
            and presented.used_at_ms is null and presented.expires_at_ms > ${nowMs}
          returning s.id, s.person_id
        ), spent as (
          update refresh_tokens t set used_at_ms = ${nowMs}, successor_salt = ${next.salt}, successor_hash = ${next.hash}
          from extended where t.hash = ${hash}
        ), kept as (
          insert into refresh_tokens (hash, session_id, issued_at_ms, expires_at_ms)
          select ${next.hash}::bytea, id, ${nowMs}::bigint, ${expiresAtMs}::bigint from extended
        ), repeated as (
          select s.id, s.person_id, presented.successor_salt, presented.used_at_ms
          from presented join sessions s on s.id = presented.session_id
          where s.revoked_at_ms is null and presented.used_at_ms > ${nowMs - graceMs}
            and presented.successor_salt is not null
            and not exists (select from refresh_tokens t
                            where t.hash = presented.successor_hash and t.used_at_ms is not null)
        ), ending as materialized (
          select s.id, s.person_id from presented join sessions s on s.id = presented.session_id
          where s.revoked_at_ms is null and presented.used_at_ms is not null and not exists (select from repeated)
        ), live as materialized (${lockLiveSessions(sql, 'ending', nowMs)}
        ), reused as (${endSession(sql, nowMs, 'reuse')}
        ), signed_out as (${signedOutBy(sql, 'reused')}
        ), event_written as (${insertSignedOutEvent(sql, signOut, 'reuse', 'signed_out')}
        ), outcome as (
          select 'rotated' as kind, id, person_id, null::bytea as salt, null::bigint as used_at_ms from extended
          union all select 'repeated', id, person_id, successor_salt, used_at_ms from repeated
          union all select 'reused', id, person_id, null, null from reused
        )
        select o.kind, o.id as "sessionId", o.salt, o.used_at_ms as "usedAtMs",
               p.id, p.email, p.name, p.phone, p.role, p.created_at_ms as "createdAtMs",
               p.banned_at_ms as "bannedAtMs"
        from outcome o join people p on p.id = o.person_id`;
      return row === undefined ? { kind: 'refused' } : rotationOf(row);
    },
  };
}

function createLogouts(sql: Sql) {
  return {
    /** Ends the session of the token, if there is one. `signOut` is published if it was the last one. */
    async closeSession(hash: Uint8Array, signOut: SignOut): Promise<void> {
      const { atMs } = signOut;
      await sql`
        with ending as materialized (
          select s.id, s.person_id from refresh_tokens t join sessions s on s.id = t.session_id
          where t.hash = ${hash} and s.revoked_at_ms is null
        ), live as materialized (${lockLiveSessions(sql, 'ending', atMs)}
        ), closed as (${endSession(sql, atMs, 'logout')}
        ), signed_out as (${signedOutBy(sql, 'closed')}
        )
        ${insertSignedOutEvent(sql, signOut, 'logout', 'signed_out')}`;
    },
  };
}

/** Body of a CTE: ends the session in `ending` after the sessions in `live` are locked. */
const endSession = (sql: Sql, atMs: number, reason: 'logout' | 'reuse') => sql`
  update sessions s set revoked_at_ms = ${atMs}, revoked_for = ${reason} from ending
  where s.id = ending.id and s.revoked_at_ms is null and (select count(*) from live) >= 0
  returning s.id, s.person_id`;

/** Body of a CTE: the person of the session in the CTE named `ended`, if `live` has no other session. */
const signedOutBy = (sql: Sql, ended: string) => sql`
  select p.id, p.role from ${sql(ended)} as ended join people p on p.id = ended.person_id
  where not exists (select from live where live.id <> ended.id)`;

function rotationOf({ kind, sessionId, salt, usedAtMs, ...account }: RotationRow): RotationOutcome {
  switch (kind) {
    case 'rotated':
      return { kind, account, sessionId };
    case 'repeated':
      return { kind, account, sessionId, salt, usedAtMs };
    case 'reused':
      return { kind, personId: account.id, sessionId };
  }
}

/** CTEs that insert `session` and its first refresh token for the person in the CTE named `owner` (one row or none). */
export function insertSession(sql: Sql, { id, token }: NewLoginSession, owner: string) {
  return sql`
    opened as (
      insert into sessions (id, person_id, created_at_ms, expires_at_ms)
      select ${id}::uuid, id, ${token.issuedAtMs}::bigint, ${token.expiresAtMs}::bigint from ${sql(owner)}
      returning id
    ), first_token as (
      insert into refresh_tokens (hash, session_id, issued_at_ms, expires_at_ms)
      select ${token.hash}::bytea, id, ${token.issuedAtMs}::bigint, ${token.expiresAtMs}::bigint from opened
    )`;
}
