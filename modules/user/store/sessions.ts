import type { PersonId } from '@contracts/ids.ts';
import type { Sql } from '@platform/postgres/database.ts';
import type { Account, Credentials } from './account.ts';

/** A refresh token to be kept: by its hash alone. */
export interface NewRefreshToken {
  hash: Uint8Array;
  issuedAtMs: number;
  expiresAtMs: number;
}

export interface NewSession {
  id: string;
  token: NewRefreshToken;
}

export type Rotation =
  | { kind: 'rotated'; account: Account; sessionId: string }
  /** The token was used before: its session is revoked now. */
  | { kind: 'reused'; personId: PersonId; sessionId: string }
  /** Unknown, expired, or its session is over. */
  | { kind: 'refused' };

export function createSessionStore(sql: Sql) {
  return {
    /** False when the credentials are not those any more: they were changed while the hash was computed. */
    async openSession({ account, passwordHash }: Credentials, session: NewSession): Promise<boolean> {
      const rows = await sql`
        with person as (
          select id from people where id = ${account.id} and password_hash = ${passwordHash} for share
        ), ${openSession(sql, session, 'person')}
        select id from person`;
      return rows.length > 0;
    },

    /**
     * Spends the token shown and keeps `next` in its place, or ends the session when it was spent
     * before. The row lock makes two callers with one token take turns: the second sees it spent.
     */
    async rotate(hash: Uint8Array, next: NewRefreshToken): Promise<Rotation> {
      const { issuedAtMs: nowMs, expiresAtMs } = next;
      const [row] = await sql<(Account & { kind: 'rotated' | 'reused'; sessionId: string })[]>`
        with shown as (
          select hash, session_id, used_at_ms, expires_at_ms from refresh_tokens where hash = ${hash} for update
        ), extended as (
          update sessions s set expires_at_ms = ${expiresAtMs} from shown
          where s.id = shown.session_id and s.revoked_at_ms is null
            and shown.used_at_ms is null and shown.expires_at_ms > ${nowMs}
          returning s.id, s.person_id
        ), spent as (
          update refresh_tokens t set used_at_ms = ${nowMs} from extended where t.hash = ${hash}
        ), kept as (
          insert into refresh_tokens (hash, session_id, issued_at_ms, expires_at_ms)
          select ${next.hash}::bytea, id, ${nowMs}::bigint, ${expiresAtMs}::bigint from extended
        ), reused as (
          update sessions s set revoked_at_ms = ${nowMs}, revoked_for = 'reuse' from shown
          where s.id = shown.session_id and s.revoked_at_ms is null and shown.used_at_ms is not null
          returning s.id, s.person_id
        ), outcome as (
          select 'rotated' as kind, * from extended union all select 'reused', * from reused
        )
        select o.kind, o.id as "sessionId", p.id, p.email, p.name, p.phone, p.role,
               p.created_at_ms as "createdAtMs"
        from outcome o join people p on p.id = o.person_id`;
      if (row === undefined) return { kind: 'refused' };
      const { kind, sessionId, ...account } = row;
      return kind === 'rotated' ? { kind, account, sessionId } : { kind, personId: account.id, sessionId };
    },

    /** Ends the session that the token belongs to, if any. */
    async closeSession(hash: Uint8Array, nowMs: number): Promise<void> {
      await sql`
        update sessions set revoked_at_ms = ${nowMs}, revoked_for = 'logout'
        from refresh_tokens t
        where t.hash = ${hash} and sessions.id = t.session_id and revoked_at_ms is null`;
    },
  };
}

/** CTEs that open `session` with its first refresh token for the person in the CTE named `owner` (one row or none). */
export function openSession(sql: Sql, { id, token }: NewSession, owner: string) {
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
