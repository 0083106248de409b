import type { TrackSummary } from '@contracts/drivers.ts';
import type { TripSnapshot } from '@contracts/events.ts';
import type { Money } from '@contracts/money.ts';
import type { FareLine } from '@contracts/payments.ts';
import { fareOf } from './fares.ts';
import { tariffs } from './tariffs.ts';

/** How far the way that was driven may move a fare from its quote; in percent of the quoted distance. */
export interface FarePolicy {
  /** A way that differs by no more changes nothing: no phone and no map measures better. */
  tolerancePercent: number;
  reductionPercentMax: number;
  raisePercentMax: number;
}

export interface FinalFare {
  /** What decided: the quote, or the track of the trip. */
  by: 'quote' | 'track';
  total: Money;
  /** They sum to the total. */
  lines: FareLine[];
  /** What is charged for. */
  distanceMetres: number;
}

/** What a completed trip says of its ride: what was quoted, and when it began and ended. */
export type Ride = Pick<
  TripSnapshot,
  'product' | 'distanceMetres' | 'durationSeconds' | 'fare' | 'fareLines' | 'startedAt' | 'at'
>;

const pointsMin = 10;
/** The longest time without a point, at the ends too, in a track that tells the whole way. */
const gapSecondsMax = 60;

/**
 * The quote, unless the track tells the whole way and it is another one than was quoted. The distance that
 * is charged stays within the bounds around the quoted one, and so does the fare, which never falls as the
 * distance grows; its other lines stay as quoted.
 */
export function finalFare(ride: Ride, track: TrackSummary | undefined, policy: FarePolicy): FinalFare {
  const { product, distanceMetres: quotedMetres, durationSeconds, fare, fareLines } = ride;
  const quoted: FinalFare = { by: 'quote', total: fare, lines: fareLines, distanceMetres: quotedMetres };
  if (track === undefined || !isWhole(track, ride)) return quoted;
  const differsMetres = Math.abs(track.distanceMetres - quotedMetres);
  if (differsMetres * 100 <= quotedMetres * policy.tolerancePercent) return quoted;
  const leastMetres = Math.ceil((quotedMetres * (100 - policy.reductionPercentMax)) / 100);
  const mostMetres = Math.floor((quotedMetres * (100 + policy.raisePercentMax)) / 100);
  const distanceMetres = Math.max(leastMetres, Math.min(mostMetres, track.distanceMetres));
  const tariff = tariffs[fare.currency][product];
  // A tariff that has changed since would move the fare by more than the way did.
  const isSameTariff = fareOf(tariff, quotedMetres, durationSeconds).totalMinor === fare.amountMinor;
  if (distanceMetres === quotedMetres || !isSameTariff) return quoted;
  const { totalMinor, lines } = fareOf(tariff, distanceMetres, durationSeconds);
  return { by: 'track', total: { ...fare, amountMinor: totalMinor }, lines, distanceMetres };
}

/** Whether points are there of the whole ride, from its start to its end. */
function isWhole(track: TrackSummary, { startedAt, at }: Ride): boolean {
  const { points, firstAt, lastAt, longestGapSeconds } = track;
  if (startedAt === undefined || firstAt === null || lastAt === null || points < pointsMin) return false;
  const gapsSeconds = [secondsBetween(startedAt, firstAt), longestGapSeconds, secondsBetween(lastAt, at)];
  return gapsSeconds.every((seconds) => seconds <= gapSecondsMax);
}

const secondsBetween = (from: string, to: string) => (Date.parse(to) - Date.parse(from)) / 1_000;
