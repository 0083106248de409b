import type { Product, ProductTable } from '@contracts/drivers.ts';
import type { LatLng } from '@contracts/geo.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';

/**
 * The live positions of drivers and whether each driver is available, kept for fast searches. PostgreSQL is
 * the source of truth for drivers and their status. The index may be lost at any time; it is complete again
 * once every driver has sent one position (see `record` and the outcome `unknown`).
 */
export interface PositionIndex {
  /**
   * Records one position for each of several drivers; outcomes have the order of the updates. Resolves once
   * the positions are stored, or their part of the index can't be reached. A driver occurs once per call.
   */
  record(updates: readonly PositionUpdate[]): Promise<RecordOutcome[]>;
  /** Updates the index with the drivers' state in the database. An older version never replaces a newer one. */
  setAvailabilities(availabilities: readonly DriverAvailability[]): Promise<void>;
  /** Available drivers with a fresh position, ordered by exact distance. */
  nearest(query: NearestQuery): Promise<FoundDriver[]>;
  /**
   * One step of a scan that removes drivers without a sign of life for `freshnessMs`. Returns how many were
   * removed, and whether the scan continues. Instances share one scan and start a new one every `sweepEveryMs`.
   */
  sweep(): Promise<{ forgotten: number; isMore: boolean }>;
  /** Writes and reads a probe; rejects when no shard of the index can be written. */
  ping(): Promise<void>;
}

export interface PositionIndexDeps extends PositionRules {
  clock: Clock;
  /** All products by default. */
  products?: ProductTable;
}

export interface PositionRules {
  /** How long a position is used after it was recorded. */
  freshnessMs: number;
  /**
   * A position that would require a higher speed since the last fresh position is rejected, unless two
   * positions in a row agree.
   */
  speedMetresPerSecondMax: number;
  sweepEveryMs: number;
}

export interface PositionUpdate {
  driverId: DriverId;
  /** Latitude within ±`latitudeMax`. */
  point: LatLng;
  /** Time of the fix, unix ms by the phone's clock. */
  recordedAtMs: number;
  /** As reported by the phone. Used for the track of a trip; the index does not store it. */
  accuracyMetres?: number | undefined;
  /** Heading and speed as reported by the phone. Sent to followers; the index does not store them. */
  headingDegrees?: number | undefined;
  speedMetresPerSecond?: number | undefined;
}

export type RecordOutcome =
  /**
   * The position was stored. `previousMs` is when the position that it replaces was recorded. `recheck` says
   * that the driver's availability should be confirmed with the database.
   */
  | { kind: 'stored'; busy: boolean; previousMs: number | undefined; recheck: boolean }
  /** The index has a newer position; nothing changed. */
  | { kind: 'outdated'; previousMs: number; recheck: boolean }
  /**
   * No driver can travel that far since the previous position. The stored position stays, but when the next
   * position agrees with this one, it replaces the stored one: a single position never proves another wrong.
   */
  | { kind: 'too_fast'; previousMs: number; recheck: boolean }
  /** The driver is offline, as confirmed within `offlineLeaseMs`; nothing changed. */
  | { kind: 'offline' }
  /** The driver's shard could not be reached. */
  | { kind: 'failed'; cause: unknown }
  /** The index does not know the driver: call `setAvailabilities`, then record again. Nothing changed. */
  | { kind: 'unknown' };

/** A driver's availability according to the database. */
export interface DriverAvailability {
  driverId: DriverId;
  /** Version of the driver's row; 0 when the driver has no row. */
  version: number;
  availability: Availability;
  product: Product | null;
}
/** `busy` means held by an offer or on a trip. */
export type Availability = 'available' | 'busy' | 'offline';

export interface NearestQuery {
  point: LatLng;
  /** Every product when absent. */
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

/** Positions beyond this latitude are rejected: the Web Mercator square ends there, as in Redis GEO. */
export const latitudeMax = 85;

/**
 * How long an availability in the index is trusted before it is read from the database again. It can be wrong
 * when a process died between its commit and its write to the index; the first position after the lease
 * corrects that. With 60,000 drivers on the road this costs 3,000 primary-key reads per second, in batches.
 */
export const availabilityLeaseMs = 20_000;

/** The same for "offline". It is shorter because it rejects positions: a driver who just went online must not wait. */
export const offlineLeaseMs = 2_000;

/**
 * How far a position may jump without any time passing: satellite reception is poor between houses. It is more
 * than the diagonal of an index cell, so the distance is computed only when a driver changes cells.
 */
export const jumpMetresMax = 250;
