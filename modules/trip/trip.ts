import type { Product, Vehicle } from '@contracts/drivers.ts';
import type { LatLng } from '@contracts/geo.ts';
import type { DriverId, PaymentMethodId, PersonId, QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { Money } from '@contracts/money.ts';
import type { FareLine } from '@contracts/payments.ts';
import type { Actor, DriverProfile, RiderProfile, TripStatus } from '@contracts/trips.ts';

/** A trip as this context stores it. `status` decides which of the nullable parts are set. */
export interface Trip {
  id: TripId;
  /** Starts at 1 and rises by one with each transition. Every write is fenced by it. */
  version: number;
  status: TripStatus;
  riderId: RiderId;
  /** The open offer. Set only while the status is `offered`. */
  offer: { driver: AssignedDriver; expiresAtMs: number } | null;
  /** What the driver sees of the rider. The rating is the one at the assignment. */
  riderProfile: RiderProfile;
  /** What the rider sees of the driver. Set whenever `driver` is set. */
  driverProfile: DriverProfile | null;
  /** The assigned driver. Set from `assigned` on and kept after the end. */
  driver: AssignedDriver | null;
  /** Who ended the trip and why. Set only in the three final states. */
  end: { by: Actor; reason: string | null } | null;
  /** Every driver who got an offer, in order. No driver gets a second offer for the same trip. */
  offeredDriverIds: readonly DriverId[];
  /** Four digits that the rider tells the driver at the pickup, so that the right person gets in. */
  startCode: string;
  wrongStartCodes: number;
  startBlockedUntilMs: number;
  ratings: { byRider: number | null; byDriver: number | null };
  /** When the search for a driver ends without success. */
  searchUntilMs: number;
  /** When the system acts if nobody else has. Null only in the final states. */
  timerAtMs: number | null;
  createdAtMs: number;
  /** The time of the last transition. */
  updatedAtMs: number;
  fare: TripFare;
}

export interface AssignedDriver {
  id: DriverId;
  vehicle: Vehicle;
}

/** A trip read to accept or decline its offer, with the current average ratings of both participants. */
export interface OfferedTrip extends Trip {
  averageRatings: AverageRatings;
}

/** Average stars of both participants, rounded to a tenth. Null for a participant without ratings. */
export interface AverageRatings {
  rider: number | null;
  driver: number | null;
}

/** The terms that the quote fixed. Only the pickup can change: when a ride in progress is reassigned. */
export interface TripFare {
  quoteId: QuoteId;
  paymentMethodId: PaymentMethodId;
  product: Product;
  pickup: LatLng;
  dropoff: LatLng;
  distanceMetres: number;
  durationSeconds: number;
  total: Money;
  lines: readonly FareLine[];
}

/** Who acts on a trip: one of its participants, an operator, or the system (timers, dispatch). */
export type ActorRef =
  | { actor: 'rider'; id: RiderId }
  | { actor: 'driver'; id: DriverId }
  | { actor: 'ops'; id: PersonId }
  | { actor: 'system' };

export type RiderActor = Extract<ActorRef, { actor: 'rider' }>;
export type DriverActor = Extract<ActorRef, { actor: 'driver' }>;
export type OperatorActor = Extract<ActorRef, { actor: 'ops' }>;
export type SystemActor = Extract<ActorRef, { actor: 'system' }>;
/** The rider or the driver of a trip. */
export type Participant = RiderActor | DriverActor;
/** Who may read a trip and act on it: its participants, and operators, who may see every trip. */
export type TripParty = Participant | OperatorActor;

/** The row that a transition adds to the history. */
export interface HistoryEntry {
  version: number;
  from: TripStatus | null;
  to: TripStatus;
  actor: Actor;
  actorId: RiderId | DriverId | PersonId | null;
  reason: string | null;
  atMs: number;
}
