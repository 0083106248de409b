import type { PersonId, TripId } from '@contracts/ids.ts';
import type { TripStatus } from '@contracts/trips.ts';
import type { Cursor } from '@platform/http/cursor.ts';
import type { Database, Sql } from '@platform/postgres/database.ts';
import type { ReadConsistencyToken } from '@platform/postgres/read-consistency.ts';
import type { DriverActor, HistoryEntry, OfferedTrip, Participant, Trip, TripParty } from '../trip.ts';
import { type HistoryRow, historyEntryOf, type TripRow, tripOf } from './rows.ts';

export interface TripListFilter {
  participant: Participant;
  status?: TripStatus | undefined;
  after?: Cursor | undefined;
  limit: number;
}

export function createTripReads(database: Database) {
  // One trip by its id is what people ask for right after they were told of it, and what writes are
  // decided on; it costs the primary no more than the question how new a replica must be.
  const sql = database.primary;

  return {
    async find(tripId: TripId): Promise<Trip | undefined> {
      const [row] = await sql<TripRow[]>`select * from trips where id = ${tripId}`;
      return row && tripOf(row);
    },

    /** Undefined also when the party may not see the trip. */
    async findVisible(tripId: TripId, party: TripParty): Promise<Trip | undefined> {
      const [row] = await sql<TripRow[]>`
        select * from trips where id = ${tripId} and ${isVisible(sql, party)}`;
      return row && tripOf(row);
    },

    /** For those who were asked at any time: they may answer late, and learn that it is too late. */
    async findForOfferedDriver(tripId: TripId, { id }: DriverActor): Promise<OfferedTrip | undefined> {
      const [row] = await sql<(TripRow & { rider_average: number | null; driver_average: number | null })[]>`
        select trips.*, ${averageOf(sql, sql`trips.rider_id`)} as rider_average,
               ${averageOf(sql, sql`${id}`)} as driver_average
        from trips where id = ${tripId} and ${id} = any (asked_driver_ids)`;
      if (row === undefined) return undefined;
      return { ...tripOf(row), averageRatings: { rider: row.rider_average, driver: row.driver_average } };
    },

    /**
     * The trips that these people are on or asked to drive, each with whose it is. Of the primary: it must
     * not be older than what they may have been told.
     */
    async findActive(people: readonly PersonId[]): Promise<{ personId: PersonId; trip: Trip }[]> {
      const rows = await sql<(TripRow & { person_id: PersonId })[]>`
        select person_id, active.* from unnest(${[...people]}::uuid[]) as person_id, lateral (
          select * from trips
          where rider_id = person_id
            and status in ('requested', 'offered', 'assigned', 'arrived', 'in_progress')
          union all
          select * from trips
          where coalesce(driver_id, offered_driver_id) = person_id
            and status in ('offered', 'assigned', 'arrived', 'in_progress')
        ) as active`;
      return rows.map((row) => ({ personId: row.person_id, trip: tripOf(row) }));
    },

    /** Newest first. A driver's trips go by their last change, since that is when they took them. */
    async list(
      { participant, status, after, limit }: TripListFilter,
      session: ReadConsistencyToken,
    ): Promise<Trip[]> {
      const rows = await database.read(session, async (reads) => {
        const [person, time] =
          participant.actor === 'rider'
            ? [reads`rider_id`, reads`created_at_ms`]
            : [reads`driver_id`, reads`updated_at_ms`];
        return reads<TripRow[]>`
          select * from trips
          where ${person} = ${participant.id}
            ${status === undefined ? reads`` : reads`and status = ${status}`}
            ${after === undefined ? reads`` : reads`and (${time}, id) < (${after.atMs}, ${after.id})`}
          order by ${time} desc, id desc
          limit ${limit}`;
      });
      return rows.map(tripOf);
    },

    /** Undefined when the party may not see the trip; empty when it ended so long ago that it was swept. */
    async history(
      tripId: TripId,
      party: TripParty,
      session: ReadConsistencyToken,
    ): Promise<HistoryEntry[] | undefined> {
      const rows = await database.read(
        session,
        async (reads) => reads<(HistoryRow | { trip_id: null })[]>`
          select trip_history.* from trips left join trip_history on trip_id = id
          where id = ${tripId} and ${isVisible(reads, party)}
          order by trip_history.version`,
      );
      if (rows.length === 0) return undefined;
      return rows.filter((row) => row.trip_id !== null).map(historyEntryOf);
    },
  };
}

const averageOf = (sql: Sql, personId: ReturnType<Sql>) => sql`
  (select round(stars::numeric / ratings, 1)::double precision from person_ratings where person_id = ${personId})`;

/** People see the trips that they are on or asked to drive, operators see all. */
const isVisible = (sql: Sql, { actor, id }: TripParty) =>
  actor === 'ops' ? sql`true` : sql`(rider_id = ${id} or driver_id = ${id} or offered_driver_id = ${id})`;
