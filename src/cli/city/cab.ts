import type { DriverId, TripId } from '@contracts/ids.ts';
import type { Random } from '@platform/random.ts';
import type { Motion } from './motion.ts';
import type { News, Person } from './person.ts';
import type { Reporter } from './reporter.ts';
import type { World } from './world.ts';

export interface Offer {
  tripId: TripId;
  expiresAtMs: number;
}

export type DriverMode = 'idle' | 'on_trip' | 'dark' | 'away';

/** A driver in a vehicle: what the parts of a driver's day work on. */
export interface Cab {
  id: DriverId;
  world: World;
  person: Person;
  motion: Motion;
  reporter: Reporter;
  random: Random;
  mode: DriverMode;
  /** The trip that is being driven. */
  serving: TripId | undefined;
  /** Nothing is sent or heard any more. */
  isSilent: boolean;
  /** The newest rides that ended at the drop-off. */
  completed: Set<TripId>;
  /** The newest offer that was heard of and not looked at: it may come before the answer to `complete`. */
  pending: Offer | undefined;
}

export function noteOffer(cab: Cab, news: News): void {
  if (news.kind !== 'trip' || news.event !== 'trip.offered') return;
  const { tripId, offerExpiresAt } = news.trip;
  cab.pending = {
    tripId,
    expiresAtMs: offerExpiresAt ? Date.parse(offerExpiresAt) : Number.POSITIVE_INFINITY,
  };
}

/** The newest offer, when it may still be answered. */
export function takeOffer(cab: Cab): Offer | undefined {
  const offer = cab.pending;
  cab.pending = undefined;
  return offer !== undefined && offer.expiresAtMs > cab.world.clock.nowMs() ? offer : undefined;
}
