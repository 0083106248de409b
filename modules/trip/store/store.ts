import type { TripId } from '@contracts/ids.ts';
import type { Database, Sql } from '@platform/postgres/database.ts';
import { findResponse, type IdempotencyKey } from '@platform/postgres/statements.ts';
import type { ActiveTrip, Participant, Trip } from '../trip.ts';
import { createCreationWrites } from './creations.ts';
import { createTripReads } from './reads.ts';
import { activeTripOf, type TripRow } from './rows.ts';
import { createTripSweeps } from './sweeps.ts';
import { createTransitionWrites } from './transitions.ts';

export type { CreationOutcome, TripCreation } from './creations.ts';

export type TripStore = ReturnType<typeof createTripStore>;

/** The trips in PostgreSQL. All SQL of this context is in this folder. */
export function createTripStore(database: Database) {
  const sql = database.primary;
  return {
    ...createTripReads(database),
    ...createTransitionWrites(sql),
    ...createCreationWrites(sql),
    ...createSmallWrites(sql),
    ...createTripSweeps(sql),
    findResponse: <Response>(key: IdempotencyKey) => findResponse<Response>(sql, key),
  };
}

/** Writes that are no state transitions: ratings, wrong start codes and timer claims. */
function createSmallWrites(sql: Sql) {
  return {
    /** False if the trip is not theirs, is not completed, or already has their rating. */
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
     * Counts a wrong start code. False if another one was counted since the trip was read. Codes are
     * counted one at a time: otherwise a burst of guesses would pass before the first one is counted.
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
     * Claims trips whose timer is due. Their timers move to `againAtMs`, so another instance claims them
     * again if this caller dies. Rows that another instance is writing are skipped.
     */
    async claimDue(nowMs: number, againAtMs: number, limit: number): Promise<ActiveTrip[]> {
      const rows = await sql<TripRow[]>`
        update trips set timer_at_ms = ${againAtMs}
        where id = any (array(
          select id from trips
          where timer_at_ms <= ${nowMs}
          order by timer_at_ms limit ${limit}
          for update skip locked))
        returning *`;
      return rows.map(activeTripOf);
    },
  };
}
