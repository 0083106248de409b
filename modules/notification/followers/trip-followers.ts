import type { DriverId, PersonId, TripId } from '@contracts/ids.ts';

/** The follower of a driver according to a trip event. */
export interface FollowerUpdate {
  driverId: DriverId;
  tripId: TripId;
  /** The trip's version. An older version of the same trip changes nothing. */
  version: number;
  /** When the trip changed, in Unix ms. Between two trips of one driver, the later change wins. */
  atMs: number;
  /** The rider who follows the driver from now on; undefined once the trip has ended. */
  riderId: PersonId | undefined;
}

export interface TripFollower {
  driverId: DriverId;
  tripId: TripId;
  riderId: PersonId;
}

/** Which rider follows which driver, built from trip events that may arrive in any order. */
export interface TripFollowers {
  record(update: FollowerUpdate): Promise<void>;
  /** The followers of these drivers. Drivers without an active trip are left out. */
  find(driverIds: readonly DriverId[]): Promise<TripFollower[]>;
}

/** A follower expires after this time if the event of the trip's end never arrives. */
export const followerTtlMs = 12 * 60 * 60 * 1_000;
/** The end of a trip is remembered for this time, so that a late event does not start it again. */
export const endedTripTtlMs = 10 * 60 * 1_000;
