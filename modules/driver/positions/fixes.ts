import type { PositionFix } from '@contracts/drivers.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { PositionFaultCode } from '../errors.ts';
import { latitudeMax, type PositionUpdate } from './index.ts';

/** Phones' clocks go wrong by seconds; more is a lie or a fault. */
const futureToleranceMs = 5_000;

/** A fix as an update of the index, or the code of what is wrong with it. */
export function readFix(
  driverId: DriverId,
  fix: PositionFix,
  nowMs: number,
  freshnessMs: number,
): PositionUpdate | PositionFaultCode {
  const recordedAtMs = fix.recordedAt === undefined ? nowMs : Date.parse(fix.recordedAt);
  if (Number.isNaN(recordedAtMs)) return 'position.time_invalid';
  if (recordedAtMs > nowMs + futureToleranceMs) return 'position.future';
  if (recordedAtMs < nowMs - freshnessMs) return 'position.stale';
  if (Math.abs(fix.lat) > latitudeMax) return 'position.out_of_range';
  return { driverId, point: { lat: fix.lat, lng: fix.lng }, recordedAtMs };
}
