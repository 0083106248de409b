import type { FareLine } from '@contracts/payments.ts';
import type { Tariff } from './tariffs.ts';

export interface Fare {
  totalMinor: number;
  /**
   * Always base, distance and time; minimum and rounding only where they change the total. The lines sum to
   * the total.
   */
  lines: FareLine[];
}

const metresPerKm = 1_000;
const secondsPerMinute = 60;

/**
 * Calculates the fare for whole metres and whole seconds: base + distance + time, raised to the minimum and
 * rounded half up to the step of the tariff. Uses integers only, so two machines never differ by a đồng.
 * The fare never falls as distance or time grows.
 */
export function calculateFare(tariff: Tariff, distanceMetres: number, durationSeconds: number): Fare {
  const distanceMinor = divideHalfUp(tariff.perKmMinor * distanceMetres, metresPerKm);
  const timeMinor = divideHalfUp(tariff.perMinuteMinor * durationSeconds, secondsPerMinute);
  const meteredMinor = tariff.baseMinor + distanceMinor + timeMinor;
  const billedMinor = Math.max(meteredMinor, tariff.minimumMinor);
  const totalMinor = divideHalfUp(billedMinor, tariff.stepMinor) * tariff.stepMinor;

  const lines: FareLine[] = [
    { kind: 'base', amountMinor: tariff.baseMinor },
    { kind: 'distance', amountMinor: distanceMinor },
    { kind: 'time', amountMinor: timeMinor },
  ];
  if (billedMinor !== meteredMinor) lines.push({ kind: 'minimum', amountMinor: billedMinor - meteredMinor });
  if (totalMinor !== billedMinor) lines.push({ kind: 'rounding', amountMinor: totalMinor - billedMinor });
  return { totalMinor, lines };
}

/**
 * Exact: the remainder is subtracted before the division, so no fraction occurs. Not for negative numbers.
 */
function divideHalfUp(amount: number, divisor: number): number {
  const raised = amount + Math.floor(divisor / 2);
  return (raised - (raised % divisor)) / divisor;
}
