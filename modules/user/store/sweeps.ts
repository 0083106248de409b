import type { Sql } from '@platform/postgres/database.ts';

export function createSweepStore(sql: Sql) {
  return {
    /**
     * Forgets expired refresh tokens, sessions whose last access token has expired too, and failed
     * logins that count no more; at most `rowsMax` of each. Gives how many it forgot.
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
