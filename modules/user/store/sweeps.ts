import type { Sql } from '@platform/postgres/database.ts';

export function createSweepStore(sql: Sql) {
  return {
    /**
     * Deletes expired refresh tokens, sessions whose last access token has expired, and counters of failed
     * logins that have run out, at most `rowsMax` of each. Returns the number of deleted rows.
     */
    async sweep(nowMs: number, accessLifeMs: number, rowsMax: number): Promise<number> {
      const [row] = await sql<{ swept: number }[]>`
        with old_tokens as (
          delete from refresh_tokens where hash = any(array(
            select hash from refresh_tokens where expires_at_ms <= ${nowMs} limit ${rowsMax}
            for update skip locked))
          returning 1
        ), old_sessions as (
          delete from sessions where id = any(array(
            select id from sessions s where expires_at_ms <= ${nowMs - accessLifeMs}
              and not exists (select from refresh_tokens t where t.session_id = s.id)
            limit ${rowsMax} for update skip locked))
          returning 1
        ), old_failures as (
          delete from login_failures where key = any(array(
            select key from login_failures where arrival_ms <= ${nowMs} limit ${rowsMax}
            for update skip locked))
          returning 1
        )
        select ((select count(*) from old_tokens) + (select count(*) from old_sessions)
                + (select count(*) from old_failures))::int as swept`;
      return row?.swept ?? 0;
    },
  };
}
