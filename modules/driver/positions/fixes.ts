import type { PositionFix } from '@contracts/drivers.ts';
import { distanceMetres, distanceMetresUpperBound } from '@contracts/geo.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { PositionProblemCode } from '../errors.ts';
import { jumpMetresMax, latitudeMax, type PositionUpdate } from './index.ts';
import { plausibleTracks } from './plausible-tracks.ts';
import { createTimestampParser } from './timestamps.ts';

/** Clocks of phones deviate by seconds; more is an error or a fraud. */
const futureToleranceMs = 5_000;

const parseTime = createTimestampParser();

/** Limits that apply to a fix on its own, without the previous one. */
export interface FixLimits {
  /** Older fixes are rejected. */
  freshnessMs: number;
  /** The largest accuracy radius that the phone may report. */
  accuracyMetresMax: number;
  speedMetresPerSecondMax: number;
}

/** Parses a fix into an update of the index, or returns the code of its problem. */
export function parseFix(
  driverId: DriverId,
  fix: PositionFix,
  nowMs: number,
  limits: FixLimits,
): PositionUpdate | PositionProblemCode {
  const recordedAtMs = fix.recordedAt === undefined ? nowMs : parseTime(fix.recordedAt);
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
  /** Each fix as an update or the code of its own problem, in the order of arrival. */
  parsed: (PositionUpdate | PositionProblemCode)[];
  /** The plausible tracks through the valid fixes, most likely first. */
  tracks: PositionUpdate[][];
}

/** Parses the fixes of one driver, which may come in any order. */
export function parseFixes(
  driverId: DriverId,
  fixes: readonly PositionFix[],
  nowMs: number,
  limits: FixLimits,
): ParsedFixes {
  const parsed = fixes.map((fix) => parseFix(driverId, fix, nowMs, limits));
  const canReach = (from: PositionUpdate, to: PositionUpdate) =>
    !isTooFast(from, to, limits.speedMetresPerSecondMax);
  return { parsed, tracks: plausibleTracks(validInOrder(parsed), canReach) };
}

/** The valid updates ordered by time. Phones usually send them in order; then nothing is sorted. */
function validInOrder(parsed: readonly (PositionUpdate | PositionProblemCode)[]): PositionUpdate[] {
  const updates: PositionUpdate[] = [];
  let isInOrder = true;
  let lastMs = Number.NEGATIVE_INFINITY;
  for (const update of parsed) {
    if (typeof update === 'string') continue;
    if (update.recordedAtMs < lastMs) isInOrder = false;
    lastMs = update.recordedAtMs;
    updates.push(update);
  }
  return isInOrder ? updates : updates.sort((a, b) => a.recordedAtMs - b.recordedAtMs);
}

/** Whether the distance between two positions is too far for the time between them. */
export function isTooFast(
  before: Pick<PositionUpdate, 'point' | 'recordedAtMs'>,
  { point, recordedAtMs }: Pick<PositionUpdate, 'point' | 'recordedAtMs'>,
  speedMetresPerSecondMax: number,
): boolean {
  const seconds = (recordedAtMs - before.recordedAtMs) / 1_000;
  const metresMax = jumpMetresMax + speedMetresPerSecondMax * seconds;
  // The cheap upper bound is enough for nearly every point.
  return (
    distanceMetresUpperBound(before.point, point) > metresMax &&
    distanceMetres(before.point, point) > metresMax
  );
}
