import type { TripId } from '@contracts/ids.ts';

/** A trip to dispatch. The request is obsolete once the trip has left `version`. */
export interface DispatchRequest {
  tripId: TripId;
  version: number;
}
