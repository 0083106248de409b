import type { TripId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Random } from '@platform/random.ts';
import { addBounded } from './bounded-set.ts';
import type { DemandModel } from './demand.ts';
import type { ApiTransport, FailedReply } from './http.ts';
import type { Observations } from './observations.ts';
import type { StartCodes } from './start-codes.ts';
import { type CityTally, incrementCount } from './tally.ts';

/** How people behave. Rates are shares in [0, 1]. */
export interface Behaviour {
  /** Simulated seconds in a real one; only driving and boarding are simulated time. */
  timeScale: number;
  /** Offers that a driver declines. */
  declineRate: number;
  /** Offers that a driver leaves unanswered, and idle spells in which one vanishes, for a while. */
  darkRate: number;
  /** Trips that the rider or the driver cancels. */
  cancelRate: number;
  /** Riders whose card will be declined. */
  declinedCardRate: number;
}

/** What everybody in the city shares. */
export interface CityContext {
  behaviour: Behaviour;
  seed: number;
  /** Makes names and keys of this run its own: a seed may run again against the same server. */
  runTag: string;
  socketUrl: string;
  clock: Clock;
  /** Chance that decides nothing of the city: spreads retries. */
  jitter: Random;
  transport: ApiTransport;
  demand: DemandModel;
  tally: CityTally;
  observations: Observations;
  startCodes: StartCodes;
  /** Trips that the city itself disturbed: by a cancellation, by silence, by a late answer. */
  disturbedTripIds: Set<TripId>;
  /** Completed trips whose riders have seen what became of the charge: their drivers have the fare. */
  creditedTripIds: Set<TripId>;
  /** No ride begins any more, and nobody waits for anything; there is a moment left to leave in order. */
  closing: AbortSignal;
  /** Everything ends now. */
  signal: AbortSignal;
}

/** Of the newest trips; a city may run for weeks. */
export const rememberedTripsMax = 5_000;

/** From now on a refusal on this trip is no surprise. */
export function markDisturbed(world: CityContext, tripId: TripId): void {
  addBounded(world.disturbedTripIds, tripId, rememberedTripsMax);
}

const raceStatuses = new Set([403, 404, 409, 410]);

/** Counts a refusal where it belongs: with what the city provoked, or with the errors. */
export function countFailure(world: CityContext, refusal: FailedReply, provoked: boolean): void {
  if (refusal.code === 'city.closed' || refusal.code === 'city.silent') return;
  const isRace = refusal.status !== null && raceStatuses.has(refusal.status);
  incrementCount(provoked && isRace ? world.tally.provoked : world.tally.errors, refusal.code);
}
