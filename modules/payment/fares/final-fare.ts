import type { TrackSummary } from '@contracts/drivers.ts';
import type { TripSnapshot } from '@contracts/events.ts';
import { basisPointsPerWhole, type Money } from '@contracts/money.ts';
import type { FareLine } from '@contracts/payments.ts';
import { calculateFare } from './fare.ts';
import { tariffs } from './tariffs.ts';

/** How far the driven distance may move a fare from its quote, in basis points of the quoted distance. */
export interface FarePolicy {
  /** A smaller difference changes nothing, because neither phones nor maps measure more precisely. */
  toleranceBasisPoints: number;
  reductionBasisPointsMax: number;
  raiseBasisPointsMax: number;
}

export interface FinalFare {
  /**
   * What the fare is based on: the quote, the track of the whole trip, or the meter up to the last
   * position.
   */
  by: 'quote' | 'track' | 'meter';
  total: Money;
  /** The lines sum to the total. */
  lines: FareLine[];
  /** The distance and duration that are charged. */
  distanceMetres: number;
  durationSeconds: number;
}

/** The parts of a completed trip that its fare depends on. */
export type CompletedRide = Pick<
  TripSnapshot,
  'product' | 'distanceMetres' | 'durationSeconds' | 'fare' | 'fareLines' | 'startedAt' | 'fareRule' | 'at'
>;

const pointsMin = 10;
/** The longest gap between two points, or before the first or after the last one, in a complete track. */
const gapSecondsMax = 60;

/**
 * Calculates the final fare by the `fareRule` of the completed trip (docs/architecture.md). Returns
 * undefined while it cannot be known: a metered fare needs an answer of the driver context, even if that
 * answer is that no position is known.
 */
export function calculateFinalFare(
  ride: CompletedRide,
  track: TrackSummary | undefined,
  policy: FarePolicy,
): FinalFare | undefined {
  if (ride.fareRule !== 'metered') return quotedFare(ride, track, policy);
  return track === undefined ? undefined : meteredFare(ride, track);
}

/**
 * Charges the distance and time from the start to the last known position. The driver sent nothing after
 * that, so the rider does not pay for it. The fare never exceeds the quote; the minimum of the tariff
 * always applies.
 */
function meteredFare(ride: CompletedRide, { distanceMetres, lastAt }: TrackSummary): FinalFare {
  const { product, fare, startedAt } = ride;
  const hasTimes = startedAt !== undefined && lastAt !== null;
  const durationSeconds = hasTimes ? Math.max(0, Math.round(secondsBetween(startedAt, lastAt))) : 0;
  const { totalMinor, lines } = calculateFare(
    tariffs[fare.currency][product],
    distanceMetres,
    durationSeconds,
  );
  if (totalMinor >= fare.amountMinor) return asQuoted(ride);
  return { by: 'meter', total: { ...fare, amountMinor: totalMinor }, lines, distanceMetres, durationSeconds };
}

const asQuoted = ({ fare, fareLines, distanceMetres, durationSeconds }: CompletedRide): FinalFare => ({
  by: 'quote',
  total: fare,
  lines: fareLines,
  distanceMetres,
  durationSeconds,
});

/**
 * Charges the quote, unless the track is complete and differs from the quoted distance. The charged
 * distance stays within the bounds around the quoted one, and so does the fare, because it never falls as
 * the distance grows. The other lines stay as quoted.
 */
function quotedFare(ride: CompletedRide, track: TrackSummary | undefined, policy: FarePolicy): FinalFare {
  const { product, distanceMetres: quotedMetres, durationSeconds, fare } = ride;
  const quoted = asQuoted(ride);
  if (track === undefined || !isComplete(track, ride)) return quoted;
  const differenceMetres = Math.abs(track.distanceMetres - quotedMetres);
  if (differenceMetres * basisPointsPerWhole <= quotedMetres * policy.toleranceBasisPoints) return quoted;
  const metresOf = (basisPoints: number) => (quotedMetres * basisPoints) / basisPointsPerWhole;
  const minMetres = Math.ceil(metresOf(basisPointsPerWhole - policy.reductionBasisPointsMax));
  const maxMetres = Math.floor(metresOf(basisPointsPerWhole + policy.raiseBasisPointsMax));
  const distanceMetres = Math.max(minMetres, Math.min(maxMetres, track.distanceMetres));
  const tariff = tariffs[fare.currency][product];
  // If the tariff has changed since the quote, the difference would come from the tariff instead of the
  // distance.
  const isSameTariff = calculateFare(tariff, quotedMetres, durationSeconds).totalMinor === fare.amountMinor;
  if (distanceMetres === quotedMetres || !isSameTariff) return quoted;
  const { totalMinor, lines } = calculateFare(tariff, distanceMetres, durationSeconds);
  return { by: 'track', total: { ...fare, amountMinor: totalMinor }, lines, distanceMetres, durationSeconds };
}

/** Whether the track covers the whole ride, from its start to its end. */
function isComplete(track: TrackSummary, { startedAt, at }: CompletedRide): boolean {
  const { points, firstAt, lastAt, longestGapSeconds } = track;
  if (startedAt === undefined || firstAt === null || lastAt === null || points < pointsMin) return false;
  const gapsSeconds = [secondsBetween(startedAt, firstAt), longestGapSeconds, secondsBetween(lastAt, at)];
  return gapsSeconds.every((seconds) => seconds <= gapSecondsMax);
}

const secondsBetween = (from: string, to: string) => (Date.parse(to) - Date.parse(from)) / 1_000;
