import type { TripId } from '@contracts/ids.ts';
import type { Database } from '@platform/postgres/database.ts';
import type { PositionUpdate } from '../positions/index.ts';
import type { TrackPoint } from '../tracks/distance.ts';

export type TrackStore = ReturnType<typeof createTrackStore>;

/** The tracks of trips: rows are added, read and swept, never changed. */
export function createTrackStore({ primary: sql }: Database) {
  return {
    /**
     * Keeps those of the points at whose time, by his history, the driver was on a trip; each once. Gives
     * how many those were.
     */
    async addPoints(points: readonly PositionUpdate[]): Promise<number> {
      const rows = await sql`
        insert into trip_tracks (trip_id, recorded_at_ms, driver_id, lat, lng, accuracy_metres)
        select then_was.trip_id, point.recorded_at_ms, point.driver_id, point.lat, point.lng, point.accuracy_metres
        from unnest(
          ${points.map(({ driverId }) => driverId)}::uuid[],
          ${points.map(({ recordedAtMs }) => recordedAtMs)}::bigint[],
          ${points.map(({ point }) => point.lat)}::double precision[],
          ${points.map(({ point }) => point.lng)}::double precision[],
          ${points.map(({ accuracyMetres }) => accuracyMetres ?? null)}::real[]
        ) as point (driver_id, recorded_at_ms, lat, lng, accuracy_metres)
        cross join lateral (
          select to_status, trip_id from driver_history
          where driver_id = point.driver_id and at_ms <= point.recorded_at_ms
          order by version desc limit 1
        ) as then_was
        where then_was.to_status = 'on_trip'
        on conflict (trip_id, recorded_at_ms) do nothing`;
      return rows.count;
    },

    /** In the order of time, from and to inclusive; `pointsMax` at most. */
    async findPoints(tripId: TripId, fromMs: number, toMs: number, pointsMax: number): Promise<TrackPoint[]> {
      const rows = await sql<
        { recorded_at_ms: number; lat: number; lng: number; accuracy_metres: number | null }[]
      >`
        select recorded_at_ms, lat, lng, accuracy_metres from trip_tracks
        where trip_id = ${tripId} and recorded_at_ms between ${fromMs} and ${toMs}
        order by recorded_at_ms limit ${pointsMax}`;
      return rows.map(({ recorded_at_ms: recordedAtMs, lat, lng, accuracy_metres: accuracyMetres }) => ({
        recordedAtMs,
        point: { lat, lng },
        accuracyMetres: accuracyMetres ?? undefined,
      }));
    },

    /** When the newest point was recorded; null where there is none. */
    async findLastRecordedAtMs(tripId: TripId): Promise<number | null> {
      const [row] = await sql<{ recorded_at_ms: number }[]>`
        select recorded_at_ms from trip_tracks where trip_id = ${tripId}
        order by recorded_at_ms desc limit 1`;
      return row?.recorded_at_ms ?? null;
    },

    /** Forgets points from before `beforeMs`, oldest first; gives how many it forgot. */
    async sweep(beforeMs: number, rowsMax: number): Promise<number> {
      const deleted = await sql`
        delete from trip_tracks where ctid = any(array(
          select ctid from trip_tracks where recorded_at_ms < ${beforeMs}
          order by recorded_at_ms limit ${rowsMax}))`;
      return deleted.count;
    },
  };
}
