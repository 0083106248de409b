import type { PositionsBody, PositionsResult } from '@contracts/drivers.ts';
import type { Static } from '@sinclair/typebox';

export type PositionUpdate = Static<typeof PositionsBody>['updates'][number];
export type PositionResult = Static<typeof PositionsResult>['results'][number];

/** Where drivers' positions go that come in over live connections: the driver context. */
export interface PositionSink {
  /** Resolves when they are recorded, with what was refused and why. Rejects when nothing is known of any. */
  record(updates: readonly PositionUpdate[]): Promise<readonly PositionResult[]>;
}
