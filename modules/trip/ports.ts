import type {
  Candidate,
  CandidateQuery,
  HoldRequest,
  HoldResult,
  ReleaseRequest,
} from '@contracts/drivers.ts';
import type { QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { AuthorisationState, QuoteForTrip } from '@contracts/payments.ts';

/** Drivers who can get offers, and drivers on trips. Methods reject while the driver service can't be reached. */
export interface DriverPool {
  /** Available drivers of the product with a fresh position, nearest first, as of this moment. */
  findCandidates(query: CandidateQuery): Promise<Candidate[]>;
  /**
   * Holds the driver for this trip and returns their vehicle. Returns `held: false` if they can't get an
   * offer any more. During the hold they can neither change the vehicle nor go offline. The trip's events,
   * which have higher versions, replace the hold.
   */
  hold(request: HoldRequest): Promise<HoldResult>;
  /** Ends a hold that led to no offer. */
  release(request: ReleaseRequest): Promise<void>;
  /** When the newest position of the trip was recorded, in Unix ms. Null if none is known. */
  findLastPositionAtMs(tripId: TripId): Promise<number | null>;
}

/** The quotes that riders hold. A quote never changes, so an implementation may cache it. */
export interface FareQuotes {
  /** Returns the quote, expired or not, and the rider's debt. Undefined if the rider has no such quote. */
  find(quoteId: QuoteId, riderId: RiderId): Promise<QuoteForTrip | undefined>;
}

/** Whether the rider's card is authorised for the fare of a trip. */
export interface PaymentAuthorisations {
  /** Waits at most `withinMs` for the final state; `pending` if there is none yet. Rejects if the call fails. */
  waitForState(tripId: TripId, withinMs: number): Promise<AuthorisationState>;
}
