import { parseTimestamp, timestamp } from '@contracts/common.ts';
import type { TrackSummary } from '@contracts/drivers.ts';
import type { TripId } from '@contracts/ids.ts';
import { fault } from '@platform/faults.ts';
import type { TrackStore } from '../store-tracks.ts';
import { drivenMetres, longestGapMs } from './distance.ts';

/** Eighteen hours of a point every three seconds. */
const pointsMax = 21_600;

/** What was driven on a trip, all of it or between two moments. */
export async function readTrack(
  tracks: Pick<TrackStore, 'read'>,
  tripId: TripId,
  { from, to }: { from?: string | undefined; to?: string | undefined },
): Promise<TrackSummary> {
  const points = await tracks.read(tripId, msOf(from, 0), msOf(to, Number.MAX_SAFE_INTEGER), pointsMax);
  const [first, last] = [points[0], points.at(-1)];
  return {
    points: points.length,
    distanceMetres: Math.round(drivenMetres(points)),
    firstAt: first === undefined ? null : timestamp(first.recordedAtMs),
    lastAt: last === undefined ? null : timestamp(last.recordedAtMs),
    longestGapSeconds: longestGapMs(points) / 1_000,
  };
}

/** Throws `request.invalid` for a date that does not exist. */
function msOf(time: string | undefined, otherwise: number): number {
  const ms = time === undefined ? otherwise : parseTimestamp(time);
  if (Number.isNaN(ms)) throw fault('request.invalid', { detail: 'from and to must be dates that exist' });
  return ms;
}
