import type { DriverId, PersonId, TripId } from '@contracts/ids.ts';

/** What a trip event says of its driver's ride. */
export interface FollowerUpdate {
  driverId: DriverId;
  tripId: TripId;
  /** Of the trip: an older word of the same trip changes nothing. */
  version: number;
  /** When the trip said so, Unix ms: between two trips of a driver the newer word counts. */
  atMs: number;
  /** Who follows the driver from now on; undefined when the ride has ended. */
  riderId: PersonId | undefined;
}

export interface TripFollower {
  driverId: DriverId;
  tripId: TripId;
  riderId: PersonId;
}

/** Who rides with which driver now, as trip events tell it, in whatever order they come. */
export interface TripFollowers {
  record(news: FollowerUpdate): Promise<void>;
  /** The rides under way of these drivers; those without one are left out. */
  find(driverIds: readonly DriverId[]): Promise<TripFollower[]>;
}

/** A ride whose end was never heard of is forgotten after that. */
export const followerTtlMs = 12 * 60 * 60 * 1_000;
/** An end is remembered so long, or a word that comes late would begin the ride again. */
export const endedTripTtlMs = 10 * 60 * 1_000;
