import type { Sql } from '@platform/postgres/database.ts';

/** A counter of failed logins, and the average interval between failures that it allows. */
export interface LoginFailureCounter {
  key: string;
  spacingMs: number;
}

export function createLoginFailureStore(sql: Sql) {
  return {
    /**
     * Counts an attempt in each counter that has room for it, and returns the keys of those. It uses the
     * generic cell rate algorithm with a burst of `windowMs / spacingMs`.
     */
    async countLoginAttempt(
      counts: readonly LoginFailureCounter[],
      nowMs: number,
      windowMs: number,
    ): Promise<string[]> {
      const rows = await sql<{ key: string }[]>`
        insert into login_failures as f (key, arrival_ms)
        select key, ${nowMs}::float8 + spacing_ms from ${unnest(counts)} order by key
        on conflict (key) do update
        set arrival_ms = greatest(f.arrival_ms, ${nowMs}) + (excluded.arrival_ms - ${nowMs})
        where greatest(f.arrival_ms, ${nowMs}) + (excluded.arrival_ms - ${nowMs}) <= ${nowMs + windowMs}::float8 + 0.5
        returning key`;
      return rows.map(({ key }) => key);
    },

    /** Removes one attempt from each counter, and all attempts from the counter `forgiven`. */
    async uncountLoginAttempt(
      counts: readonly LoginFailureCounter[],
      forgiven: string | null,
    ): Promise<void> {
      await sql`
        with locked as (
          select f.key, w.spacing_ms from login_failures f join ${unnest(counts)} using (key)
          order by f.key for update of f
        )
        update login_failures f
        set arrival_ms = case when f.key = ${forgiven} then 0 else f.arrival_ms - locked.spacing_ms end
        from locked where f.key = locked.key`;
    },
  };

  function unnest(counts: readonly LoginFailureCounter[]) {
    const keys = counts.map(({ key }) => key);
    const spacings = counts.map(({ spacingMs }) => spacingMs);
    return sql`unnest(${keys}::text[], ${spacings}::float8[]) as w (key, spacing_ms)`;
  }
}
