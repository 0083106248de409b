import type { LatLng } from '@contracts/geo.ts';
import { createPlane } from './plane.ts';
import { collapseStops, type PlaneTrackPoint } from './stops.ts';

export interface TrackPoint {
  point: LatLng;
  recordedAtMs: number;
  /** As reported by the phone: in two of three cases the vehicle is within this distance. */
  accuracyMetres?: number | undefined;
}

/** Used when the phone reports no accuracy: 20 m is typical in streets between houses. */
const accuracyMetresUsual = 20;
/** A moving phone is never more accurate than this, whatever it reports. */
const accuracyMetresMin = 5;

/** One of 100 positions is farther off than this multiple of its accuracy. */
const toleranceFactor = 2;
/** A single position that is farther off than this many tolerances counts as a corner. */
const certainFactor = 3;

/** Positions within this time are averaged, at most this many on each side. */
const averagedMs = 2_000;
const averagedPoints = 2;

/** Points simplified at a time: the cost of a track that turns at every point is quadratic in this number. */
const pointsAtOnce = 1_024;

/**
 * Measures the distance driven along a track. It is the length of the simplest line that passes each point
 * within the tolerance of its accuracy (Douglas-Peucker). The noise of a car that drives straight on stays
 * within that tolerance and adds nothing; a corner exceeds it and is kept. A single point makes no corner:
 * that takes two in a row, or one that is farther off than noise can be. Before that, each stop is collapsed
 * into one point, and the positions of a phone that reports every second are averaged.
 *
 * @param points ordered by time
 */
export function measureDrivenMetres(points: readonly TrackPoint[]): number {
  const [first] = points;
  if (first === undefined) return 0;
  const project = createPlane(first.point);
  const track = averaged(
    collapseStops(
      points.map(({ point, recordedAtMs, accuracyMetres }) => ({
        ...project(point),
        recordedAtMs,
        toleranceMetres: toleranceFactor * Math.max(accuracyMetresMin, accuracyMetres ?? accuracyMetresUsual),
      })),
    ),
  );
  let metres = 0;
  let [last] = track;
  for (const corner of cornersOf(track)) {
    if (last === undefined) break;
    const step = Math.hypot(corner.x - last.x, corner.y - last.y);
    if (step <= Math.max(corner.toleranceMetres, last.toleranceMetres)) continue;
    metres += step;
    last = corner;
  }
  return metres;
}

function averaged(track: readonly PlaneTrackPoint[]): PlaneTrackPoint[] {
  return track.map((point, index) => {
    let [x, y, count] = [0, 0, 0];
    for (let neighbour = index - averagedPoints; neighbour <= index + averagedPoints; neighbour++) {
      const other = track[neighbour];
      if (other === undefined || Math.abs(other.recordedAtMs - point.recordedAtMs) > averagedMs) continue;
      if (Math.hypot(other.x - point.x, other.y - point.y) > point.toleranceMetres) continue;
      x += other.x;
      y += other.y;
      count++;
    }
    return { ...point, x: x / count, y: y / count };
  });
}

/** The points where the simplified line turns, and its end. */
function* cornersOf(track: readonly PlaneTrackPoint[]): Iterable<PlaneTrackPoint> {
  for (let from = 0; from < track.length - 1; ) {
    let to = Math.min(from + pointsAtOnce, track.length - 1);
    // End indexes of the sections that remain to be examined, the nearest last.
    const ends = [to];
    while (ends.length > 0) {
      to = ends.at(-1) ?? to;
      const corner = farthestBetween(track, from, to);
      if (corner !== undefined) {
        ends.push(corner);
        continue;
      }
      ends.pop();
      from = to;
      const end = track[to];
      if (end !== undefined) yield end;
    }
  }
}

/** The index of the point that exceeds its tolerance around the straight line most; undefined when none does. */
function farthestBetween(track: readonly PlaneTrackPoint[], from: number, to: number): number | undefined {
  const [start, end] = [track[from], track[to]];
  if (start === undefined || end === undefined) return undefined;
  const [dx, dy] = [end.x - start.x, end.y - start.y];
  const scale = 1 / Math.max(dx * dx + dy * dy, Number.MIN_VALUE);
  /** The distance of a point from the line, in multiples of its tolerance. */
  const tolerancesAway = (index: number): number => {
    const point = track[index];
    if (point === undefined || index >= to) return 0;
    const [px, py] = [point.x - start.x, point.y - start.y];
    const share = Math.max(0, Math.min(1, (px * dx + py * dy) * scale));
    return Math.sqrt((px - share * dx) ** 2 + (py - share * dy) ** 2) / point.toleranceMetres;
  };
  let farthest: number | undefined;
  let farthestTolerances = 1;
  let [before, current] = [0, tolerancesAway(from + 1)];
  for (let index = from + 1; index < to; index++) {
    const after = tolerancesAway(index + 1);
    const confirmed = current > certainFactor ? current : Math.min(current, Math.max(before, after));
    if (confirmed > farthestTolerances) {
      farthestTolerances = confirmed;
      farthest = index;
    }
    [before, current] = [current, after];
  }
  return farthest;
}

/** The longest time between two consecutive points. */
export function longestGapMs(points: readonly TrackPoint[]): number {
  let longestMs = 0;
  for (const [index, { recordedAtMs }] of points.entries())
    longestMs = Math.max(longestMs, recordedAtMs - (points[index - 1]?.recordedAtMs ?? recordedAtMs));
  return longestMs;
}
