import type { PositionFix } from '@contracts/drivers.ts';
import { distanceMetres, distanceMetresUpperBound } from '@contracts/geo.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { PositionProblemCode } from '../errors.ts';
import { jumpMetresMax, latitudeMax, type PositionUpdate } from './index.ts';
import { plausibleTracks } from './plausible-tracks.ts';
import { createTimestampParser } from './timestamps.ts';

/** Phones' clocks go wrong by seconds; more is a lie or a fault. */
const futureToleranceMs = 5_000;

const readTime = createTimestampParser();

/** What can be told of a fix without knowing the one before. */
export interface FixLimits {
  /** Positions older than this are refused. */
  freshnessMs: number;
  /** By the phone's own account. */
  accuracyMetresMax: number;
  speedMetresPerSecondMax: number;
}

/** A fix as an update of the index, or the code of what is wrong with it. */
export function parseFix(
  driverId: DriverId,
  fix: PositionFix,
  nowMs: number,
  limits: FixLimits,
): PositionUpdate | PositionProblemCode {
  const recordedAtMs = fix.recordedAt === undefined ? nowMs : readTime(fix.recordedAt);
  if (Number.isNaN(recordedAtMs)) return 'position.time_invalid';
  if (recordedAtMs > nowMs + futureToleranceMs) return 'position.future';
  if (recordedAtMs < nowMs - limits.freshnessMs) return 'position.stale';
  if ((fix.accuracyMetres ?? 0) > limits.accuracyMetresMax) return 'position.inaccurate';
  if (Math.abs(fix.lat) > latitudeMax) return 'position.out_of_range';
  const { lat, lng, accuracyMetres, headingDegrees, speedMetresPerSecond } = fix;
  if (lat === 0 && lng === 0) return 'position.no_fix';
  return {
    driverId,
    point: { lat, lng },
    recordedAtMs,
    accuracyMetres,
    headingDegrees,
    speedMetresPerSecond,
  };
}

export interface ParsedFixes {
  /** Each as an update or with the code of what is wrong with it by itself, in the order they came. */
  parsed: (PositionUpdate | PositionProblemCode)[];
  /** The ways that the driver can have gone through the good ones, likeliest first. */
  tracks: PositionUpdate[][];
}

/** The fixes of one driver, in any order. */
export function parseFixes(
  driverId: DriverId,
  fixes: readonly PositionFix[],
  nowMs: number,
  limits: FixLimits,
): ParsedFixes {
  const parsed = fixes.map((fix) => parseFix(driverId, fix, nowMs, limits));
  const reaches = (from: PositionUpdate, to: PositionUpdate) =>
    !isTooFast(from, to, limits.speedMetresPerSecondMax);
  return { parsed, tracks: plausibleTracks(inTime(parsed), reaches) };
}

/** The good ones in the order of their times. Phones send them so: then nothing is sorted. */
function inTime(read: readonly (PositionUpdate | PositionProblemCode)[]): PositionUpdate[] {
  const updates: PositionUpdate[] = [];
  let isInOrder = true;
  let lastMs = Number.NEGATIVE_INFINITY;
  for (const one of read) {
    if (typeof one === 'string') continue;
    if (one.recordedAtMs < lastMs) isInOrder = false;
    lastMs = one.recordedAtMs;
    updates.push(one);
  }
  return isInOrder ? updates : updates.sort((a, b) => a.recordedAtMs - b.recordedAtMs);
}

/** Whether nobody gets from the one to the other in the time between them. */
export function isTooFast(
  before: Pick<PositionUpdate, 'point' | 'recordedAtMs'>,
  { point, recordedAtMs }: Pick<PositionUpdate, 'point' | 'recordedAtMs'>,
  speedMetresPerSecondMax: number,
): boolean {
  const seconds = (recordedAtMs - before.recordedAtMs) / 1_000;
  const metresMax = jumpMetresMax + speedMetresPerSecondMax * seconds;
  // Nearly every point is so near that the distance itself need not be known.
  return (
    distanceMetresUpperBound(before.point, point) > metresMax &&
    distanceMetres(before.point, point) > metresMax
  );
}
