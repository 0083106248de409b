import type { Candidate, CandidateQuery } from '@contracts/drivers.ts';
import type { DriverId, QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { Quote } from '@contracts/payments.ts';

/** The drivers that may be asked. Rejects while their context is away. */
export interface DriverPool {
  /** Fresh and available drivers with the right vehicle, nearest first. */
  candidates(query: CandidateQuery): Promise<Candidate[]>;
  /**
   * Keeps other searches from the driver for `ttlMs`. False while another trip holds them. Only a hint
   * that saves work: that a driver has one trip at most is decided by this context's database.
   */
  hold(driverId: DriverId, tripId: TripId, ttlMs: number): Promise<boolean>;
  /** Ends the hold early. Nothing happens when it is not this trip's. */
  release(driverId: DriverId, tripId: TripId): Promise<void>;
}

/** The fares that riders were promised. A quote never changes, so an answer may come from a cache. */
export interface FareQuotes {
  /** Undefined when there is no such quote of this rider. Expired ones are given too. */
  find(quoteId: QuoteId, riderId: RiderId): Promise<Quote | undefined>;
}
