import type { PlanePoint } from './plane.ts';

/** A position of a track, and how far from the truth it may be. */
export interface PlaneTrackPoint extends PlanePoint {
  recordedAtMs: number;
  toleranceMetres: number;
}

const stopMsMin = 15_000;
const stopPointsMin = 5;
/** A car that crawls moves on between the first and the second half of a stay, by more than noise does. */
const driftShareMax = 0.75;
/** So many positions in a row away from it end a stay: one alone may be off. */
const awayPoints = 2;

/** The track with one position, the mean, for each time that the car stood. */
export function collapseStops(track: readonly PlaneTrackPoint[]): PlaneTrackPoint[] {
  const kept: PlaneTrackPoint[] = [];
  for (let from = 0; from < track.length; ) {
    const stay = track.slice(from, endOfStay(track, from));
    if (isStop(stay)) {
      kept.push(meanOf(stay));
      from += stay.length;
      continue;
    }
    // The car may have stood after it came: the rest of the stay is looked at again.
    const moved = Math.ceil(stay.length / 4);
    for (const point of stay.slice(0, moved)) kept.push(point);
    from += moved;
  }
  return kept;
}

/** The place after the last position that is within its tolerance of the mean of those before it. */
function endOfStay(track: readonly PlaneTrackPoint[], from: number): number {
  let [x, y, count, away] = [0, 0, 0, 0];
  for (let place = from; place < track.length; place++) {
    const point = track[place];
    if (point === undefined) break;
    if (count > 0 && Math.hypot(point.x - x / count, point.y - y / count) > point.toleranceMetres) {
      if (++away === awayPoints) return place - awayPoints + 1;
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

/** Times and tolerances too. */
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
