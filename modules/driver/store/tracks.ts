import type { TripId } from '@contracts/ids.ts';
import type { Database } from '@platform/postgres/database.ts';
import type { PositionUpdate } from '../positions/index.ts';
import type { TrackPoint } from '../tracks/distance.ts';

export type TrackStore = ReturnType<typeof createTrackStore>;

/** The recorded points of trips: rows are added, read and swept, never updated. */
export function createTrackStore({ primary: sql }: Database) {
  return {
    /**
     * Saves those points at whose time the driver was on a trip, according to the driver's history. A point
     * that is already there is skipped. Returns the number of rows added.
     */
    async addPoints(points: readonly PositionUpdate[]): Promise<number> {
      const rows = await sql`
        insert into trip_tracks (trip_id, recorded_at_ms, driver_id, lat, lng, accuracy_metres)
        select status_then.trip_id, point.recorded_at_ms, point.driver_id, point.lat, point.lng, point.accuracy_metres
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
        ) as status_then
        where status_then.to_status = 'on_trip'
        on conflict (trip_id, recorded_at_ms) do nothing`;
      return rows.count;
    },

    /** Points ordered by time; `fromMs` and `toMs` are inclusive, `pointsMax` bounds the result. */
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

    /** When the newest point of the trip was recorded; null when the trip has no points. */
    async findLastRecordedAtMs(tripId: TripId): Promise<number | null> {
      const [row] = await sql<{ recorded_at_ms: number }[]>`
        select recorded_at_ms from trip_tracks where trip_id = ${tripId}
        order by recorded_at_ms desc limit 1`;
      return row?.recorded_at_ms ?? null;
    },

    /** Deletes up to `rowsMax` points recorded before `beforeMs`, oldest first; returns how many. */
    async sweep(beforeMs: number, rowsMax: number): Promise<number> {
      const deleted = await sql`
        delete from trip_tracks where ctid = any(array(
          select ctid from trip_tracks where recorded_at_ms < ${beforeMs}
          order by recorded_at_ms limit ${rowsMax}))`;
      return deleted.count;
    },
  };
}
