import type { DriverId, TripId } from '@contracts/ids.ts';
import type { Random } from '@platform/random.ts';
import type { CityContext } from './city-context.ts';
import type { Motion } from './motion.ts';
import type { CityPerson, PersonEvent } from './person.ts';
import type { PositionReporter } from './position-reporter.ts';

export interface PendingOffer {
  tripId: TripId;
  expiresAtMs: number;
}

export type DriverMode = 'idle' | 'on_trip' | 'dark' | 'away';

/** A driver in a vehicle: what the parts of a driver's day work on. */
export interface DriverState {
  id: DriverId;
  world: CityContext;
  person: CityPerson;
  motion: Motion;
  reporter: PositionReporter;
  random: Random;
  mode: DriverMode;
  /** The trip that is being driven. */
  currentTripId: TripId | undefined;
  /** Nothing is sent or heard any more. */
  isDisconnected: boolean;
  /** The newest rides that ended at the drop-off. */
  completed: Set<TripId>;
  /** The newest offer that was heard of and not looked at: it may come before the answer to `complete`. */
  pendingOffer: PendingOffer | undefined;
}

export function recordOffer(cab: DriverState, news: PersonEvent): void {
  if (news.kind !== 'trip' || news.event !== 'trip.offered') return;
  const { tripId, offerExpiresAt } = news.trip;
  cab.pendingOffer = {
    tripId,
    expiresAtMs: offerExpiresAt ? Date.parse(offerExpiresAt) : Number.POSITIVE_INFINITY,
  };
}

/** The newest offer, when it may still be answered. */
export function takeOffer(cab: DriverState): PendingOffer | undefined {
  const offer = cab.pendingOffer;
  cab.pendingOffer = undefined;
  return offer !== undefined && offer.expiresAtMs > cab.world.clock.nowMs() ? offer : undefined;
}
