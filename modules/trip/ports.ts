import type {
  Candidate,
  CandidateQuery,
  HoldRequest,
  HoldResult,
  ReleaseRequest,
} from '@contracts/drivers.ts';
import type { QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { AuthorisationState, QuoteForTrip } from '@contracts/payments.ts';

/** The drivers that may be asked, and those who drive. Rejects while their context is away. */
export interface DriverPool {
  /** Fresh and available drivers of that product, nearest first: who they were when it was asked. */
  findCandidates(query: CandidateQuery): Promise<Candidate[]>;
  /**
   * Keeps the driver for this trip as they are at that moment, and tells their vehicle; refused when they
   * can't be asked any more. Until the hold ends they can neither change the vehicle nor go offline. The
   * trip's events, which have higher versions, take over from it.
   */
  hold(request: HoldRequest): Promise<HoldResult>;
  /** Ends a hold that led to no offer. */
  release(request: ReleaseRequest): Promise<void>;
  /** When the newest position of the trip was recorded, in Unix ms; null when none is known. */
  findLastPositionAtMs(tripId: TripId): Promise<number | null>;
}

/** The fares that riders were promised. A quote never changes, so an answer may come from a cache. */
export interface FareQuotes {
  /** Undefined when there is no such quote of this rider. Expired ones are given too, and what the rider owes. */
  find(quoteId: QuoteId, riderId: RiderId): Promise<QuoteForTrip | undefined>;
}

/** Whether the rider's card has been accepted for the fare of a trip. */
export interface PaymentAuthorisations {
  /** Waits at most `withinMs` for the answer; `pending` when there is none yet. Rejects when it can't be asked. */
  waitForState(tripId: TripId, withinMs: number): Promise<AuthorisationState>;
}
