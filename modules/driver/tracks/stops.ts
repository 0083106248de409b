import type { PlanePoint } from './plane.ts';

/** A track point on a plane, with the distance by which it may be wrong. */
export interface PlaneTrackPoint extends PlanePoint {
  recordedAtMs: number;
  toleranceMetres: number;
}

const stopMsMin = 15_000;
const stopPointsMin = 5;
/** Between the first and the second half of a stay, a crawling car drifts farther than noise does. */
const driftShareMax = 0.75;
/** This many consecutive positions outside end a stay; a single one may be an outlier. */
const awayPoints = 2;

/** Replaces all points of each stop by their mean. */
export function collapseStops(track: readonly PlaneTrackPoint[]): PlaneTrackPoint[] {
  const kept: PlaneTrackPoint[] = [];
  for (let from = 0; from < track.length; ) {
    const stay = track.slice(from, endOfStay(track, from));
    if (isStop(stay)) {
      kept.push(meanOf(stay));
      from += stay.length;
      continue;
    }
    // The car may have stopped after it arrived, so the rest of the stay is examined again.
    const skipped = Math.ceil(stay.length / 4);
    for (const point of stay.slice(0, skipped)) kept.push(point);
    from += skipped;
  }
  return kept;
}

/** The index after the last position that is within its tolerance of the mean of the positions before it. */
function endOfStay(track: readonly PlaneTrackPoint[], from: number): number {
  let [x, y, count, away] = [0, 0, 0, 0];
  for (let index = from; index < track.length; index++) {
    const point = track[index];
    if (point === undefined) break;
    if (count > 0 && Math.hypot(point.x - x / count, point.y - y / count) > point.toleranceMetres) {
      if (++away === awayPoints) return index - awayPoints + 1;
      continue;
    }
    away = 0;
    x += point.x;
    y += point.y;
    count++;
  }
  return track.length;
}

function isStop(stay: readonly PlaneTrackPoint[]): boolean {
  const [first, last] = [stay[0], stay.at(-1)];
  if (first === undefined || last === undefined || stay.length < stopPointsMin) return false;
  if (last.recordedAtMs - first.recordedAtMs < stopMsMin) return false;
  const half = stay.length >> 1;
  const [before, after] = [meanOf(stay.slice(0, half)), meanOf(stay.slice(half))];
  const drift = 2 * Math.hypot(after.x - before.x, after.y - before.y);
  return drift <= driftShareMax * Math.max(before.toleranceMetres, after.toleranceMetres);
}

/** The mean of positions, times and tolerances. */
export function meanOf(points: readonly PlaneTrackPoint[]): PlaneTrackPoint {
  const mean = { x: 0, y: 0, recordedAtMs: 0, toleranceMetres: 0 };
  for (const point of points) {
    mean.x += point.x / points.length;
    mean.y += point.y / points.length;
    mean.recordedAtMs += point.recordedAtMs / points.length;
    mean.toleranceMetres += point.toleranceMetres / points.length;
  }
  return mean;
}
