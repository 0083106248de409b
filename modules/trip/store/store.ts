import type { TripId } from '@contracts/ids.ts';
import type { Database, Sql } from '@platform/postgres/database.ts';
import { findResponse, type IdempotencyKey } from '@platform/postgres/statements.ts';
import type { Participant, Trip } from '../trip.ts';
import { createCreationWrites } from './creations.ts';
import { createTripReads } from './reads.ts';
import { type TripRow, tripOf } from './rows.ts';
import { createTripSweeps } from './sweeps.ts';
import { createTransitionWrites } from './transitions.ts';

export type { CreationOutcome, TripCreation } from './creations.ts';

export type TripStore = ReturnType<typeof createTripStore>;

/** The trips in PostgreSQL: the only place of this context that holds SQL. */
export function createTripStore(database: Database) {
  const sql = database.primary;
  return {
    ...createTripReads(database),
    ...createTransitionWrites(sql),
    ...createCreationWrites(sql),
    ...createSmallWrites(sql),
    ...createTripSweeps(sql),
    findAnswer: <Answer>(key: IdempotencyKey) => findResponse<Answer>(sql, key),
  };
}

/** What changes a trip without being a step of it. */
function createSmallWrites(sql: Sql) {
  return {
    /** False when the trip is not theirs, not completed, or rated by them before. */
    async rate(tripId: TripId, by: Participant, stars: number, comment: string | null): Promise<boolean> {
      const given =
        by.actor === 'rider'
          ? sql`
              update trips set rating_by_rider = ${stars}, comment_by_rider = ${comment}
              where id = ${tripId} and rider_id = ${by.id} and status = 'completed' and rating_by_rider is null
              returning driver_id as person_id`
          : sql`
              update trips set rating_by_driver = ${stars}, comment_by_driver = ${comment}
              where id = ${tripId} and driver_id = ${by.id} and status = 'completed' and rating_by_driver is null
              returning rider_id as person_id`;
      const rows = await sql`
        with given as (${given}),
             counted as (
               insert into person_ratings as known (person_id, ratings, stars)
               select person_id, 1, ${stars}::integer from given
               on conflict (person_id) do update
               set ratings = known.ratings + 1, stars = known.stars + excluded.stars)
        select from given`;
      return rows.length === 1;
    },

    /**
     * Counts a wrong start code. False when another guess was counted meanwhile: guesses go one by one,
     * or a burst of them would all pass before the first is counted.
     */
    async countWrongStartCode(trip: Trip, blockedUntilMs: number): Promise<boolean> {
      const rows = await sql`
        update trips
        set wrong_start_codes = wrong_start_codes + 1, start_blocked_until_ms = ${blockedUntilMs}
        where id = ${trip.id} and version = ${trip.version} and wrong_start_codes = ${trip.wrongStartCodes}
        returning id`;
      return rows.length === 1;
    },

    /**
     * Takes trips whose timer is due, each for one caller: their timers are moved to `againAtMs`, so a
     * caller that dies loses nothing. Those that another instance is just writing are skipped.
     */
    async claimDue(nowMs: number, againAtMs: number, limit: number): Promise<Trip[]> {
      const rows = await sql<TripRow[]>`
        update trips set timer_at_ms = ${againAtMs}
        where id = any (array(
          select id from trips
          where timer_at_ms <= ${nowMs}
          order by timer_at_ms limit ${limit}
          for update skip locked))
        returning *`;
      return rows.map(tripOf);
    },
  };
}
