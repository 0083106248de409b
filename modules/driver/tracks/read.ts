import { timestamp } from '@contracts/common.ts';
import type { TrackSummary } from '@contracts/drivers.ts';
import type { TripId } from '@contracts/ids.ts';
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

/** A moment that no calendar has is none. */
function msOf(time: string | undefined, otherwise: number): number {
  const ms = time === undefined ? otherwise : Date.parse(time);
  return Number.isNaN(ms) ? otherwise : ms;
}
