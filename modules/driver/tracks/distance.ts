import type { LatLng } from '@contracts/geo.ts';
import { createPlane } from './plane.ts';
import { collapseStops, type PlaneTrackPoint } from './stops.ts';

export interface TrackPoint {
  point: LatLng;
  recordedAtMs: number;
  /** By the phone's account: two of three times the vehicle is no farther away than this. */
  accuracyMetres?: number | undefined;
}

/** For phones that do not tell: in streets between houses, 20 m is usual. */
const accuracyMetresUsual = 20;
/** No phone measures better while it moves, whatever it tells. */
const accuracyMetresMin = 5;

/** Of 100 positions one is farther off than this many times its accuracy. */
const toleranceFactor = 2;
/** Beyond this many tolerances one position alone is believed. */
const certainFactor = 3;

/** Positions that are this near in time and place are averaged, so many on each side. */
const averagedMs = 2_000;
const averagedPoints = 2;

/** Simplified at a time: a track that turns at every point costs the square of this. */
const pointsAtOnce = 1_024;

/**
 * The way through the points in the order of time: the length of the simplest line that passes every point
 * as closely as the accuracies explain (Douglas and Peucker). The noise of a car that drives straight on stays
 * within that tolerance and adds nothing; a corner leaves it, and is kept. One point alone makes no corner: two
 * in a row do, or one that is farther off than noise gets. Before that, each time that the car stood becomes
 * one point, and the positions of a phone that tells one every second are averaged.
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
  return track.map((point, place) => {
    let [x, y, count] = [0, 0, 0];
    for (let near = place - averagedPoints; near <= place + averagedPoints; near++) {
      const other = track[near];
      if (other === undefined || Math.abs(other.recordedAtMs - point.recordedAtMs) > averagedMs) continue;
      if (Math.hypot(other.x - point.x, other.y - point.y) > point.toleranceMetres) continue;
      x += other.x;
      y += other.y;
      count++;
    }
    return { ...point, x: x / count, y: y / count };
  });
}

/** Where the line turns, and its end. */
function* cornersOf(track: readonly PlaneTrackPoint[]): Iterable<PlaneTrackPoint> {
  for (let from = 0; from < track.length - 1; ) {
    let to = Math.min(from + pointsAtOnce, track.length - 1);
    // The ends of the parts that are still to be looked at, the nearest last.
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

/** The place of the point that is farthest out of its tolerance around the straight line; undefined when none is. */
function farthestBetween(track: readonly PlaneTrackPoint[], from: number, to: number): number | undefined {
  const [start, end] = [track[from], track[to]];
  if (start === undefined || end === undefined) return undefined;
  const [dx, dy] = [end.x - start.x, end.y - start.y];
  const scale = 1 / Math.max(dx * dx + dy * dy, Number.MIN_VALUE);
  /** How many tolerances it is from the line. */
  const outside = (place: number): number => {
    const point = track[place];
    if (point === undefined || place >= to) return 0;
    const [px, py] = [point.x - start.x, point.y - start.y];
    const share = Math.max(0, Math.min(1, (px * dx + py * dy) * scale));
    return Math.sqrt((px - share * dx) ** 2 + (py - share * dy) ** 2) / point.toleranceMetres;
  };
  let farthest: number | undefined;
  let most = 1;
  let [before, here] = [0, outside(from + 1)];
  for (let place = from + 1; place < to; place++) {
    const after = outside(place + 1);
    const believed = here > certainFactor ? here : Math.min(here, Math.max(before, after));
    if (believed > most) {
      most = believed;
      farthest = place;
    }
    [before, here] = [here, after];
  }
  return farthest;
}

/** The longest time from one point to the next. */
export function longestGapMs(points: readonly TrackPoint[]): number {
  let longestMs = 0;
  for (const [place, { recordedAtMs }] of points.entries())
    longestMs = Math.max(longestMs, recordedAtMs - (points[place - 1]?.recordedAtMs ?? recordedAtMs));
  return longestMs;
}
