import type { PositionFix } from '@contracts/drivers.ts';
import { distanceMetres } from '@contracts/geo.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { PositionFaultCode } from '../errors.ts';
import { jumpMetresMax, latitudeMax, type PositionUpdate } from './index.ts';

/** Phones' clocks go wrong by seconds; more is a lie or a fault. */
const futureToleranceMs = 5_000;

/** What can be told of a fix without knowing the one before. */
export interface FixLimits {
  /** Positions older than this are refused. */
  freshnessMs: number;
  /** By the phone's own account. */
  accuracyMetresMax: number;
  speedMetresPerSecondMax: number;
}

/** A fix as an update of the index, or the code of what is wrong with it. */
export function readFix(
  driverId: DriverId,
  fix: PositionFix,
  nowMs: number,
  limits: FixLimits,
): PositionUpdate | PositionFaultCode {
  const recordedAtMs = fix.recordedAt === undefined ? nowMs : Date.parse(fix.recordedAt);
  if (Number.isNaN(recordedAtMs)) return 'position.time_invalid';
  if (recordedAtMs > nowMs + futureToleranceMs) return 'position.future';
  if (recordedAtMs < nowMs - limits.freshnessMs) return 'position.stale';
  if ((fix.accuracyMetres ?? 0) > limits.accuracyMetresMax) return 'position.inaccurate';
  if (Math.abs(fix.lat) > latitudeMax) return 'position.out_of_range';
  const { lat, lng, headingDegrees, speedMetresPerSecond } = fix;
  return { driverId, point: { lat, lng }, recordedAtMs, headingDegrees, speedMetresPerSecond };
}

/**
 * The fixes of one driver, each as an update or with the code of what is wrong with it, in the order
 * they came. Also those are wrong that would be too fast after the one before them in time.
 */
export function readFixes(
  driverId: DriverId,
  fixes: readonly PositionFix[],
  nowMs: number,
  limits: FixLimits,
): (PositionUpdate | PositionFaultCode)[] {
  const read = fixes.map((fix) => readFix(driverId, fix, nowMs, limits));
  let before: PositionUpdate | undefined;
  for (const place of placesInTime(read)) {
    const update = read[place];
    if (update === undefined || typeof update === 'string') continue;
    if (before !== undefined && isTooFast(before, update, limits.speedMetresPerSecondMax))
      read[place] = 'position.too_fast';
    else before = update;
  }
  return read;
}

/** The places of the good ones in the order of their times. Phones send them so: then nothing is sorted. */
function placesInTime(read: readonly (PositionUpdate | PositionFaultCode)[]): number[] {
  const places: number[] = [];
  let inOrder = true;
  let lastMs = Number.NEGATIVE_INFINITY;
  for (const [place, one] of read.entries()) {
    if (typeof one === 'string') continue;
    if (one.recordedAtMs < lastMs) inOrder = false;
    lastMs = one.recordedAtMs;
    places.push(place);
  }
  const timeOf = (place: number) => {
    const one = read[place];
    return one === undefined || typeof one === 'string' ? 0 : one.recordedAtMs;
  };
  return inOrder ? places : places.sort((a, b) => timeOf(a) - timeOf(b));
}

/** Whether nobody gets from the one to the other in the time between them. */
export function isTooFast(
  before: Pick<PositionUpdate, 'point' | 'recordedAtMs'>,
  { point, recordedAtMs }: Pick<PositionUpdate, 'point' | 'recordedAtMs'>,
  speedMetresPerSecondMax: number,
): boolean {
  const seconds = (recordedAtMs - before.recordedAtMs) / 1_000;
  return distanceMetres(before.point, point) > jumpMetresMax + speedMetresPerSecondMax * seconds;
}
