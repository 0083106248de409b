import type { TripId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Random } from '@platform/random.ts';
import { addBounded } from './bounded-set.ts';
import type { DemandModel } from './demand.ts';
import type { ApiTransport, FailedReply } from './http.ts';
import type { Observations } from './observations.ts';
import type { StartCodes } from './start-codes.ts';
import { type CityTally, incrementCount } from './tally.ts';

/** The behaviour of the simulated people. Rates are shares in [0, 1]. */
export interface Behaviour {
  /** Simulated seconds per real second. Only driving and boarding use simulated time. */
  timeScale: number;
  /** Share of offers that drivers decline. */
  declineRate: number;
  /** Share of offers that drivers leave unanswered, and of idle periods in which they disconnect for a while. */
  darkRate: number;
  /** Share of trips that the rider or the driver cancels. */
  cancelRate: number;
  /** Share of riders whose card is declined. */
  declinedCardRate: number;
}

/** Collaborators and state that all simulated people share. */
export interface CityContext {
  behaviour: Behaviour;
  seed: number;
  /** Makes names and keys unique to this run, so that a seed may run repeatedly against the same server. */
  runTag: string;
  socketUrl: string;
  clock: Clock;
  /** Randomness that only spreads retries and decides nothing in the city. */
  jitter: Random;
  transport: ApiTransport;
  demand: DemandModel;
  tally: CityTally;
  observations: Observations;
  startCodes: StartCodes;
  /** Trips that the city disturbed on purpose: by a cancellation, a disconnect or a late answer. */
  disturbedTripIds: Set<TripId>;
  /** Completed trips whose riders have seen the result of the charge: their drivers must be credited. */
  creditedTripIds: Set<TripId>;
  /** Aborted when the city closes: no ride starts and nobody waits, but a short time is left to go offline. */
  closing: AbortSignal;
  /** Aborted when everything must end. */
  signal: AbortSignal;
}

/** How many trips are remembered; a city may run for weeks. */
export const rememberedTripsMax = 5_000;

/** From now on rejections for this trip count as provoked. */
export function markDisturbed(context: CityContext, tripId: TripId): void {
  addBounded(context.disturbedTripIds, tripId, rememberedTripsMax);
}

const raceStatuses = new Set([403, 404, 409, 410]);

/** Counts a failed reply as provoked or as an error. */
export function countFailure(context: CityContext, failure: FailedReply, isProvoked: boolean): void {
  if (failure.code === 'city.closed' || failure.code === 'city.disconnected') return;
  const isRace = failure.status !== null && raceStatuses.has(failure.status);
  incrementCount(isProvoked && isRace ? context.tally.provoked : context.tally.errors, failure.code);
}
