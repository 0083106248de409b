import type { Timestamp } from '@contracts/common.ts';
import type { TrackSummary } from '@contracts/drivers.ts';
import type { TripId } from '@contracts/ids.ts';

/** What the payment context needs of the driver context: how far a driver drove during a trip. */
export interface TripTracks {
  /** Summarises the track between two times. Rejects when it is unavailable. */
  summarise(tripId: TripId, from: Timestamp, to: Timestamp): Promise<TrackSummary>;
}

/** How long a fare waits for the track. After that the quoted fare stands. */
export const trackWaitMsMax = 1_000;
