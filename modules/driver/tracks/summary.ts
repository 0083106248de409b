import { formatTimestamp, parseTimestamp } from '@contracts/common.ts';
import type { TrackSummary } from '@contracts/drivers.ts';
import type { TripId } from '@contracts/ids.ts';
import { problem } from '@platform/problems.ts';
import type { TrackStore } from '../store/tracks.ts';
import { longestGapMs, measureDrivenMetres } from './distance.ts';

/** One point every three seconds for eighteen hours. */
const pointsMax = 21_600;

/** Summarizes what was driven on a trip, in total or between two times. */
export async function summarizeTrack(
  tracks: Pick<TrackStore, 'findPoints'>,
  tripId: TripId,
  { from, to }: { from?: string | undefined; to?: string | undefined },
): Promise<TrackSummary> {
  const points = await tracks.findPoints(
    tripId,
    parseTimeMs(from, 0),
    parseTimeMs(to, Number.MAX_SAFE_INTEGER),
    pointsMax,
  );
  const [first, last] = [points[0], points.at(-1)];
  return {
    points: points.length,
    distanceMetres: Math.round(measureDrivenMetres(points)),
    firstAt: first === undefined ? null : formatTimestamp(first.recordedAtMs),
    lastAt: last === undefined ? null : formatTimestamp(last.recordedAtMs),
    longestGapSeconds: longestGapMs(points) / 1_000,
  };
}

/** Throws `request.invalid` for a date that does not exist. */
function parseTimeMs(time: string | undefined, defaultMs: number): number {
  const ms = time === undefined ? defaultMs : parseTimestamp(time);
  if (Number.isNaN(ms)) throw problem('request.invalid', { detail: 'from and to must be existing dates' });
  return ms;
}
