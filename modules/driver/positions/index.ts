import type { Product } from '@contracts/drivers.ts';
import type { LatLng } from '@contracts/geo.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';

/**
 * Where the drivers are, and who of them may be asked: the live part of a driver,
 * kept for speed. PostgreSQL knows who is a driver and what his status is; the index may be lost at any
 * moment and is whole again once each driver has sent a position (see `record` and `unknown`).
 */
export interface PositionIndex {
  /**
   * Takes in one position each of several drivers; outcomes come in the order of the updates. Resolved
   * only once the index has them, or part of it can't be reached. A driver occurs once in a call.
   */
  record(updates: readonly PositionUpdate[]): Promise<RecordOutcome[]>;
  /** Tells the index what the database says of drivers. An older version never replaces a newer one. */
  setAvailabilities(standings: readonly DriverAvailability[]): Promise<void>;
  /** Available drivers with a fresh position, in the exact order of their distance. */
  nearest(query: NearestQuery): Promise<FoundDriver[]>;
  /**
   * One step of a walk that forgets drivers who were not heard of for a freshness window: how many it
   * forgot, and whether the walk goes on. Instances share a walk, and begin one every `sweepEveryMs`.
   */
  sweep(): Promise<{ forgotten: number; isMore: boolean }>;
  /** Writes and reads; rejects while no part of the index can be written. */
  ping(): Promise<void>;
}

export interface PositionIndexDeps extends PositionRules {
  clock: Clock;
}

export interface PositionRules {
  /** A position counts for so long after it was recorded. */
  freshnessMs: number;
  /**
   * Who would have had to drive faster since the last position, which is not stale, was not there: unless
   * two positions in a row say so.
   */
  speedMetresPerSecondMax: number;
  sweepEveryMs: number;
}

export interface PositionUpdate {
  driverId: DriverId;
  /** Latitude within ±`latitudeMax`. */
  point: LatLng;
  /** Unix ms, by the phone's clock. */
  recordedAtMs: number;
  /** By the phone's account. For the track of a trip: the index does not keep it. */
  accuracyMetres?: number | undefined;
  /** How the vehicle moves, by the phone's account. For whoever follows it: the index does not keep it. */
  headingDegrees?: number | undefined;
  speedMetresPerSecond?: number | undefined;
}

export type RecordOutcome =
  /** `previousMs`: when the position that it replaces was recorded. `recheck`: the standing has not been confirmed for a while. */
  | { kind: 'stored'; busy: boolean; previousMs: number | undefined; recheck: boolean }
  /** A newer position is there; nothing changed. */
  | { kind: 'outdated'; previousMs: number; recheck: boolean }
  /**
   * Nobody gets so far in the time since the position before. The stored position stays, but if the next one
   * agrees with this one, the two outweigh it: one position alone never proves another one wrong.
   */
  | { kind: 'too_fast'; previousMs: number; recheck: boolean }
  /** The driver is offline, as was confirmed a moment ago; nothing changed. */
  | { kind: 'offline' }
  /** The part of the index that he belongs to could not be reached. */
  | { kind: 'failed'; cause: unknown }
  /** The index can't tell: `setStandings` first, then record again; nothing changed. */
  | { kind: 'unknown' };

/** What the database says of a driver. */
export interface DriverAvailability {
  driverId: DriverId;
  /** Of the driver's row; 0 when there is none. */
  version: number;
  availability: Availability;
  product: Product | null;
}
/** `busy`: held by an offer or on a trip. */
export type Availability = 'available' | 'busy' | 'offline';

export interface NearestQuery {
  point: LatLng;
  /** Any when absent. */
  product?: Product | undefined;
  limit: number;
  radiusMetresMax: number;
  excluding: readonly DriverId[];
}

export interface FoundDriver {
  driverId: DriverId;
  product: Product;
  point: LatLng;
  recordedAtMs: number;
  distanceMetres: number;
}

/** Redis geo ends at the edge of the Web Mercator square; nobody drives beyond. */
export const latitudeMax = 85;

/**
 * How long a standing is believed without asking the database again. A standing can be wrong when the
 * process died between its commit and its write to the index: the next position after the lease mends
 * that. 60,000 drivers on the road then cost 3,000 rows by primary key a second, in batches.
 */
export const availabilityLeaseMs = 20_000;

/** The same for "offline", which turns positions away: a driver who just went online must not wait. */
export const offlineLeaseMs = 2_000;

/**
 * So far a position may jump at once: satellites are seen badly between houses. More than the diagonal of
 * an index cell, so that only who changes his cell needs to be measured.
 */
export const jumpMetresMax = 250;

export const products: readonly Product[] = ['bike', 'car', 'car_xl'];
