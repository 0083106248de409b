import { distanceMetres, type LatLng } from '@contracts/geo.ts';

export interface TrackPoint {
  point: LatLng;
  recordedAtMs: number;
}

/** A car that stands still seems to wander by some metres: what is nearer than this is no way. */
const stepMetresMin = 15;

/** The way through the points in the order of time: straight from each to the next that is a step away. */
export function drivenMetres(points: readonly TrackPoint[]): number {
  let metres = 0;
  let last: LatLng | undefined;
  for (const { point } of points) {
    const step = last === undefined ? stepMetresMin : distanceMetres(last, point);
    if (step < stepMetresMin) continue;
    if (last !== undefined) metres += step;
    last = point;
  }
  return metres;
}

/** The longest time from one point to the next. */
export function longestGapMs(points: readonly TrackPoint[]): number {
  let longestMs = 0;
  for (const [place, { recordedAtMs }] of points.entries())
    longestMs = Math.max(longestMs, recordedAtMs - (points[place - 1]?.recordedAtMs ?? recordedAtMs));
  return longestMs;
}
