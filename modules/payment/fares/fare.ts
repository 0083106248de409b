import type { FareLine } from '@contracts/payments.ts';
import type { Tariff } from './tariffs.ts';

export interface Fare {
  totalMinor: number;
  /** Base, distance and time always; minimum and rounding where they change something. They sum to the total. */
  lines: FareLine[];
}

const metresPerKm = 1_000;
const secondsPerMinute = 60;

/**
 * The fare of a ride of whole metres and whole seconds: base + distance + time, raised to the minimum,
 * rounded half up to the tariff's step. Integers throughout, so two machines never differ by a đồng.
 * It never falls as distance or time grow.
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

/** Exact: the remainder is taken off before dividing, so no fraction ever exists. Not for negatives. */
function divideHalfUp(amount: number, divisor: number): number {
  const raised = amount + Math.floor(divisor / 2);
  return (raised - (raised % divisor)) / divisor;
}
