import type { PositionFix, PositionUpdatesBody, PositionUpdatesResult } from '@contracts/drivers.ts';
import type { DriverId, PersonId } from '@contracts/ids.ts';
import type { ActiveTrip } from '@contracts/trips.ts';
import type { Static } from '@sinclair/typebox';

/** Records positions that drivers send over live connections; implemented by the driver context. */
export interface PositionSink {
  /**
   * Resolves once the points are recorded, to the distinct codes of rejected points. Rejects if the outcome
   * is unknown.
   */
  record(driverId: DriverId, points: readonly PositionFix[]): Promise<readonly string[]>;
  /** Resolves once no point is queued; called at shutdown. */
  drain(): Promise<void>;
}

export type DriverPositions = Static<typeof PositionUpdatesBody>['updates'][number];
export type DriverPositionsResult = Static<typeof PositionUpdatesResult>['results'][number];

/** The driver context over the network. A call is expensive, so it carries the points of many drivers. */
export interface PositionBatchClient {
  /** Resolves once the points are recorded, with the rejected points and their codes. Rejects if the outcome is unknown. */
  record(updates: readonly DriverPositions[]): Promise<readonly DriverPositionsResult[]>;
}

/** The trip context: which of these people are on a trip. Rejects or is slow while the trip service is unavailable. */
export interface ActiveTrips {
  /** Takes at most `activeTripsPeopleMax` people. The result is not older than the call. */
  findByPeople(people: readonly PersonId[]): Promise<readonly ActiveTrip[]>;
}
