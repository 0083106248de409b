import type { PositionUpdate } from './positions/index.ts';

/** Where positions of drivers go whom somebody may be waiting for: whoever rides with them. */
export interface Followers {
  /** At most once, and only as long as it is news: what can not be told is lost. */
  sendPositions(positions: readonly PositionUpdate[]): Promise<void>;
}
