import type { TrackSummary } from '@contracts/drivers.ts';
import type { TripSnapshot } from '@contracts/events.ts';
import { basisPointsPerWhole, type Money } from '@contracts/money.ts';
import type { FareLine } from '@contracts/payments.ts';
import { calculateFare } from './fare.ts';
import { tariffs } from './tariffs.ts';

/** How far the way that was driven may move a fare from its quote; in basis points of the quoted distance. */
export interface FarePolicy {
  /** A way that differs by no more changes nothing: no phone and no map measures better. */
  toleranceBasisPoints: number;
  reductionBasisPointsMax: number;
  raiseBasisPointsMax: number;
}

export interface FinalFare {
  /** What decided: the quote, the track of the whole trip, or the meter up to the last position. */
  by: 'quote' | 'track' | 'meter';
  total: Money;
  /** They sum to the total. */
  lines: FareLine[];
  /** What is charged for. */
  distanceMetres: number;
  durationSeconds: number;
}

/** What a completed trip says of its ride: what was quoted, when it began and ended, and how it is charged. */
export type CompletedRide = Pick<
  TripSnapshot,
  'product' | 'distanceMetres' | 'durationSeconds' | 'fare' | 'fareLines' | 'startedAt' | 'fareRule' | 'at'
>;

const pointsMin = 10;
/** The longest time without a point, at the ends too, in a track that tells the whole way. */
const gapSecondsMax = 60;

/**
 * The fare by the rule that the end of the trip named (docs/architecture.md). Undefined while it can't be
 * known: a metered fare needs an answer of the driver context, also when that is that no point is known.
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
 * By the metres and seconds from the start to the last known position: the driver was silent from then on,
 * and what came after is not the rider's. Never above the quote; the tariff's minimum is in every fare.
 */
function meteredFare(ride: CompletedRide, { distanceMetres, lastAt }: TrackSummary): FinalFare {
  const { product, fare, startedAt } = ride;
  const isKnown = startedAt !== undefined && lastAt !== null;
  const durationSeconds = isKnown ? Math.max(0, Math.round(secondsBetween(startedAt, lastAt))) : 0;
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
 * The quote, unless the track tells the whole way and it is another one than was quoted. The distance that
 * is charged stays within the bounds around the quoted one, and so does the fare, which never falls as the
 * distance grows; its other lines stay as quoted.
 */
function quotedFare(ride: CompletedRide, track: TrackSummary | undefined, policy: FarePolicy): FinalFare {
  const { product, distanceMetres: quotedMetres, durationSeconds, fare } = ride;
  const quoted = asQuoted(ride);
  if (track === undefined || !isWhole(track, ride)) return quoted;
  const differsMetres = Math.abs(track.distanceMetres - quotedMetres);
  if (differsMetres * basisPointsPerWhole <= quotedMetres * policy.toleranceBasisPoints) return quoted;
  const of = (basisPoints: number) => (quotedMetres * basisPoints) / basisPointsPerWhole;
  const leastMetres = Math.ceil(of(basisPointsPerWhole - policy.reductionBasisPointsMax));
  const mostMetres = Math.floor(of(basisPointsPerWhole + policy.raiseBasisPointsMax));
  const distanceMetres = Math.max(leastMetres, Math.min(mostMetres, track.distanceMetres));
  const tariff = tariffs[fare.currency][product];
  // A tariff that has changed since would move the fare by more than the way did.
  const isSameTariff = calculateFare(tariff, quotedMetres, durationSeconds).totalMinor === fare.amountMinor;
  if (distanceMetres === quotedMetres || !isSameTariff) return quoted;
  const { totalMinor, lines } = calculateFare(tariff, distanceMetres, durationSeconds);
  return { by: 'track', total: { ...fare, amountMinor: totalMinor }, lines, distanceMetres, durationSeconds };
}

/** Whether points are there of the whole ride, from its start to its end. */
function isWhole(track: TrackSummary, { startedAt, at }: CompletedRide): boolean {
  const { points, firstAt, lastAt, longestGapSeconds } = track;
  if (startedAt === undefined || firstAt === null || lastAt === null || points < pointsMin) return false;
  const gapsSeconds = [secondsBetween(startedAt, firstAt), longestGapSeconds, secondsBetween(lastAt, at)];
  return gapsSeconds.every((seconds) => seconds <= gapSecondsMax);
}

const secondsBetween = (from: string, to: string) => (Date.parse(to) - Date.parse(from)) / 1_000;
