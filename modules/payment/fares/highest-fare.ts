import type { TripSnapshot } from '@contracts/events.ts';
import { basisPointsPerWhole } from '@contracts/money.ts';
import { calculateFare } from './fare.ts';
import type { FarePolicy } from './final-fare.ts';
import { tariffs } from './tariffs.ts';

/**
 * The highest possible final fare, which is the amount that the card is authorised for. The fare never
 * falls as the distance grows, so it is the fare of the longest distance that may be charged.
 */
export function calculateHighestFareMinor(
  { product, distanceMetres, durationSeconds, fare }: TripSnapshot,
  { raiseBasisPointsMax }: FarePolicy,
): number {
  if (raiseBasisPointsMax === 0 || fare.amountMinor === 0) return fare.amountMinor;
  const maxMetres = Math.floor(
    (distanceMetres * (basisPointsPerWhole + raiseBasisPointsMax)) / basisPointsPerWhole,
  );
  const { totalMinor } = calculateFare(tariffs[fare.currency][product], maxMetres, durationSeconds);
  return Math.max(fare.amountMinor, totalMinor);
}
