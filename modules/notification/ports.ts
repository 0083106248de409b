import type { PositionFix, PositionUpdatesBody, PositionUpdatesResult } from '@contracts/drivers.ts';
import type { DriverId, PersonId } from '@contracts/ids.ts';
import type { ActiveTrip } from '@contracts/trips.ts';
import type { Static } from '@sinclair/typebox';

/** Where drivers' positions go that come in over live connections: the driver context. */
export interface PositionSink {
  /**
   * Resolves when the points are recorded, to the codes of what was refused, each once. Rejects when
   * nothing is known of them.
   */
  record(driverId: DriverId, points: readonly PositionFix[]): Promise<readonly string[]>;
  /** Resolves when nothing waits here any more; called at the end. */
  drain(): Promise<void>;
}

export type DriverPositions = Static<typeof PositionUpdatesBody>['updates'][number];
export type DriverPositionsResult = Static<typeof PositionUpdatesResult>['results'][number];

/** The driver context over the network: a call is dear, so it carries the points of many drivers. */
export interface PositionBatchClient {
  /** Resolves when they are recorded, with what was refused and why. Rejects when nothing is known of any. */
  record(updates: readonly DriverPositions[]): Promise<readonly DriverPositionsResult[]>;
}

/** The trip context: who of these people is on a trip. Rejects, or takes its time, while it is away. */
export interface ActiveTrips {
  /** At most `activeTripsPeopleMax` people. The answer is not older than the call. */
  findByPeople(people: readonly PersonId[]): Promise<readonly ActiveTrip[]>;
}
