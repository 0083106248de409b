import type { Timestamp } from '@contracts/common.ts';
import type { TrackSummary } from '@contracts/drivers.ts';
import type { TripId } from '@contracts/ids.ts';

/** What was driven on a trip, by the positions of its driver: the driver context. */
export interface TripTracks {
  /** Between two moments. Rejects while it can't be told. */
  summarise(tripId: TripId, from: Timestamp, to: Timestamp): Promise<TrackSummary>;
}

/** So long a fare waits to hear it; then it is the quoted one. */
export const trackWaitMsMax = 1_000;
