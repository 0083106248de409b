import type { PersonId, TripId } from '@contracts/ids.ts';
import type { TripStatus } from '@contracts/trips.ts';
import type { Cursor } from '@platform/http/cursor.ts';
import type { Database, Sql } from '@platform/postgres/database.ts';
import type { ReadConsistencyToken } from '@platform/postgres/read-consistency.ts';
import type {
  ActiveTrip,
  DriverActor,
  HistoryEntry,
  Participant,
  Trip,
  TripParty,
  TripWithAverages,
} from '../trip.ts';
import { activeTripOf, type HistoryRow, historyEntryOf, type TripRow, tripOf } from './rows.ts';

export interface TripListFilter {
  participant: Participant;
  status?: TripStatus | undefined;
  after?: Cursor | undefined;
  limit: number;
}

export function createTripReads(database: Database) {
  // Reads of one trip by its id go to the primary: clients read a trip right after an event about it, and
  // transitions are decided on it. It costs the primary no more than asking how far a replica must be.
  const sql = database.primary;

  return {
    async find(tripId: TripId): Promise<Trip | undefined> {
      const [row] = await sql<TripRow[]>`select * from trips where id = ${tripId}`;
      return row && tripOf(row);
    },

    /** Undefined if the trip does not exist or the party may not see it. */
    async findVisible(tripId: TripId, party: TripParty): Promise<Trip | undefined> {
      const [row] = await sql<TripRow[]>`
        select * from trips where id = ${tripId} and ${isVisible(sql, party)}`;
      return row && tripOf(row);
    },

    /** For drivers who ever had an offer for the trip: a late answer gets the reason why it is late. */
    async findForOfferedDriver(tripId: TripId, { id }: DriverActor): Promise<TripWithAverages | undefined> {
      const [row] = await sql<(TripRow & { rider_average: number | null; driver_average: number | null })[]>`
        select trips.*, ${averageOf(sql, sql`trips.rider_id`)} as rider_average,
               ${averageOf(sql, sql`${id}`)} as driver_average
        from trips where id = ${tripId} and ${id} = any (asked_driver_ids)`;
      if (row === undefined) return undefined;
      return { ...tripOf(row), averageRatings: { rider: row.rider_average, driver: row.driver_average } };
    },

    /**
     * The active trips of these people, including open offers, each with the person it belongs to. Reads
     * the primary: the result must not be older than an event that the person may have received.
     */
    async findActive(people: readonly PersonId[]): Promise<{ personId: PersonId; trip: ActiveTrip }[]> {
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
      return rows.map((row) => ({ personId: row.person_id, trip: activeTripOf(row) }));
    },

    /** Newest first. A rider's trips are ordered by creation, a driver's by the last transition. */
    async list(
      { participant, status, after, limit }: TripListFilter,
      token: ReadConsistencyToken,
    ): Promise<Trip[]> {
      const rows = await database.read(token, async (readSql) => {
        const [person, time] =
          participant.actor === 'rider'
            ? [readSql`rider_id`, readSql`created_at_ms`]
            : [readSql`driver_id`, readSql`updated_at_ms`];
        return readSql<TripRow[]>`
          select * from trips
          where ${person} = ${participant.id}
            ${status === undefined ? readSql`` : readSql`and status = ${status}`}
            ${after === undefined ? readSql`` : readSql`and (${time}, id) < (${after.atMs}, ${after.id})`}
          order by ${time} desc, id desc
          limit ${limit}`;
      });
      return rows.map(tripOf);
    },

    /** Undefined if the party may not see the trip. Empty if the history has been swept after its retention. */
    async history(
      tripId: TripId,
      party: TripParty,
      token: ReadConsistencyToken,
    ): Promise<HistoryEntry[] | undefined> {
      const rows = await database.read(
        token,
        async (readSql) => readSql<(HistoryRow | { trip_id: null })[]>`
          select trip_history.* from trips left join trip_history on trip_id = id
          where id = ${tripId} and ${isVisible(readSql, party)}
          order by trip_history.version`,
      );
      if (rows.length === 0) return undefined;
      return rows.filter((row) => row.trip_id !== null).map(historyEntryOf);
    },
  };
}

const averageOf = (sql: Sql, personId: ReturnType<Sql>) => sql`
  (select round(stars::numeric / ratings, 1)::double precision from person_ratings where person_id = ${personId})`;

/** Participants see their trips and open offers. Operators see every trip. */
const isVisible = (sql: Sql, { actor, id }: TripParty) =>
  actor === 'ops' ? sql`true` : sql`(rider_id = ${id} or driver_id = ${id} or offered_driver_id = ${id})`;
