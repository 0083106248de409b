import type { Sql } from '@platform/postgres/database.ts';

export function createTripSweeps(sql: Sql) {
  return {
    /**
     * Deletes the history of trips that ended before `beforeMs`. It deletes whole trips only, so that a
     * stored history has no gaps. Returns the number of trips.
     */
    async sweepHistory(beforeMs: number, tripsMax: number): Promise<number> {
      const [row] = await sql<{ swept: number }[]>`
        with ended as materialized (
               select trip_id from trip_history
               where to_status in ('completed', 'cancelled', 'unfulfilled') and at_ms < ${beforeMs}
               order by at_ms limit ${tripsMax}
               for update skip locked),
             gone as (delete from trip_history where trip_id = any(array(select trip_id from ended)))
        select count(*)::int as swept from ended`;
      return row?.swept ?? 0;
    },

    /** Deletes dispatch decisions older than `beforeMs`. Returns the number of decisions. */
    async sweepDecisions(beforeMs: number, rowsMax: number): Promise<number> {
      const deleted = await sql`
        delete from trip_decisions where ctid = any(array(
          select ctid from trip_decisions where at_ms < ${beforeMs} order by at_ms limit ${rowsMax}))`;
      return deleted.count;
    },
  };
}
