import type { PersonId } from '@contracts/ids.ts';
import type { Sql } from '@platform/postgres/database.ts';
import type { Account, Credentials } from './account.ts';
import { insertSignedOutEvent, lockLiveSessions, type SignOut } from './sign-outs.ts';

/** A refresh token to be kept: by its hash alone. */
export interface NewRefreshToken {
  hash: Uint8Array;
  issuedAtMs: number;
  expiresAtMs: number;
}

export interface NewLoginSession {
  id: string;
  token: NewRefreshToken;
}

/** A token that takes another's place, and what it was made with. */
export interface SuccessorToken extends NewRefreshToken {
  salt: Uint8Array;
}

export type RotationOutcome =
  | { kind: 'rotated'; account: Account; sessionId: string }
  /** The token was used a moment before, and its successor never: the reply was lost, or there are two callers. */
  | { kind: 'repeated'; account: Account; sessionId: string; salt: Uint8Array; usedAtMs: number }
  /** The token was used before: its session is revoked now. */
  | { kind: 'reused'; personId: PersonId; sessionId: string }
  /** Unknown, expired, or its session is over. */
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
     * False when the credentials are not those any more: they were changed, or the person was banned,
     * while the hash was computed.
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
     * Spends the token shown and keeps `next` in its place, or ends the session when it was spent
     * earlier than `graceMs` ago or its successor is in use. The row lock makes two callers with one
     * token take turns: the second sees it spent. `signOut` is published when the session that ends was
     * the last one.
     */
    async rotateRefreshToken(
      hash: Uint8Array,
      next: SuccessorToken,
      graceMs: number,
      signOut: SignOut,
    ): Promise<RotationOutcome> {
      const { issuedAtMs: nowMs, expiresAtMs } = next;
      const [row] = await sql<RotationRow[]>`
        with shown as (
          select * from refresh_tokens where hash = ${hash} for update
        ), extended as (
          update sessions s set expires_at_ms = ${expiresAtMs} from shown, people p
          where s.id = shown.session_id and s.revoked_at_ms is null
            and p.id = s.person_id and p.banned_at_ms is null
            and shown.used_at_ms is null and shown.expires_at_ms > ${nowMs}
          returning s.id, s.person_id
        ), spent as (
          update refresh_tokens t set used_at_ms = ${nowMs}, successor_salt = ${next.salt}, successor_hash = ${next.hash}
          from extended where t.hash = ${hash}
        ), kept as (
          insert into refresh_tokens (hash, session_id, issued_at_ms, expires_at_ms)
          select ${next.hash}::bytea, id, ${nowMs}::bigint, ${expiresAtMs}::bigint from extended
        ), repeated as (
          select s.id, s.person_id, shown.successor_salt, shown.used_at_ms
          from shown join sessions s on s.id = shown.session_id
          where s.revoked_at_ms is null and shown.used_at_ms > ${nowMs - graceMs}
            and shown.successor_salt is not null
            and not exists (select from refresh_tokens t
                            where t.hash = shown.successor_hash and t.used_at_ms is not null)
        ), ending as materialized (
          select s.id, s.person_id from shown join sessions s on s.id = shown.session_id
          where s.revoked_at_ms is null and shown.used_at_ms is not null and not exists (select from repeated)
        ), live as materialized (${lockLiveSessions(sql, 'ending', nowMs)}
        ), reused as (${endSession(sql, nowMs, 'reuse')}
        ), signed_out as (${signedOutBy(sql, 'reused')}
        ), told as (${insertSignedOutEvent(sql, signOut, 'reuse', 'signed_out')}
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
    /** Ends the session that the token belongs to, if any; publishes `signOut` when it was the last one. */
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

/** Body of a CTE: ends the session in `ending`, once those in `live` are locked. */
const endSession = (sql: Sql, atMs: number, why: 'logout' | 'reuse') => sql`
  update sessions s set revoked_at_ms = ${atMs}, revoked_for = ${why} from ending
  where s.id = ending.id and s.revoked_at_ms is null and (select count(*) from live) >= 0
  returning s.id, s.person_id`;

/** Body of a CTE: the person of the session in the CTE named `ended`, if none of those in `live` is another's. */
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

/** CTEs that open `session` with its first refresh token for the person in the CTE named `owner` (one row or none). */
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
