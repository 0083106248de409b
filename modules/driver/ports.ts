import type { PositionUpdate } from './positions/index.ts';

/** Sends positions of busy drivers to the riders of their trips. */
export interface Followers {
  /** Delivers each position at most once. A position that can't be sent is lost: a newer one follows soon. */
  sendPositions(positions: readonly PositionUpdate[]): Promise<void>;
}
