import type { Product, Vehicle } from '@contracts/drivers.ts';
import type { LatLng } from '@contracts/geo.ts';
import type { DriverId, PaymentMethodId, PersonId, QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { Money } from '@contracts/money.ts';
import type { FareLine } from '@contracts/payments.ts';
import type { Actor, DriverProfile, RiderProfile, TripStatus } from '@contracts/trips.ts';

/** A trip as this context stores it. Each status carries exactly what exists in it. */
export type Trip = ActiveTrip | EndedTrip;
export type ActiveTrip = RequestedTrip | OfferedTrip | DrivenTrip;
export type EndedTrip = CompletedTrip | CancelledTrip | UnfulfilledTrip;

/** What every trip has, whatever its status. */
export interface TripBase {
  id: TripId;
  /** Starts at 1 and rises by one with each transition. Every write is fenced by it. */
  version: number;
  riderId: RiderId;
  /** What the driver sees of the rider. The rating is the one at the assignment. */
  riderProfile: RiderProfile;
  /** Every driver who got an offer, in order. No driver gets a second offer for the same trip. */
  offeredDriverIds: readonly DriverId[];
  /** Four digits that the rider tells the driver at the pickup, so that the right person gets in. */
  startCode: string;
  wrongStartCodes: number;
  startBlockedUntilMs: number;
  /** When the search for a driver ends without success. */
  searchUntilMs: number;
  createdAtMs: number;
  /** The time of the last transition. */
  updatedAtMs: number;
  fare: TripFare;
}

/** A trip that has not ended always has a timer. */
interface WithTimer {
  /** When the system acts if nobody else has. */
  timerAtMs: number;
}

interface WithEnd {
  /** Who ended the trip and why. */
  end: { by: Actor; reason: string | null };
}

export interface RequestedTrip extends TripBase, WithTimer {
  status: 'requested';
}

export interface OfferedTrip extends TripBase, WithTimer {
  status: 'offered';
  offer: TripOffer;
}

export interface DrivenTrip extends TripBase, WithTimer {
  status: 'assigned' | 'arrived' | 'in_progress';
  driver: AssignedDriver;
}

export interface CompletedTrip extends TripBase, WithEnd {
  status: 'completed';
  driver: AssignedDriver;
  ratings: TripRatings;
}

export interface CancelledTrip extends TripBase, WithEnd {
  status: 'cancelled';
  /** The driver who was assigned. Null if the trip was cancelled before an assignment. */
  driver: AssignedDriver | null;
}

export interface UnfulfilledTrip extends TripBase, WithEnd {
  status: 'unfulfilled';
}

export interface TripOffer {
  driver: OfferedDriver;
  expiresAtMs: number;
}

/** The driver of an offer, with the vehicle that they are held with. */
export interface OfferedDriver {
  id: DriverId;
  vehicle: Vehicle;
}

export interface AssignedDriver extends OfferedDriver {
  /** What the rider sees of the driver. The rating is the one at the assignment. */
  profile: DriverProfile;
}

/** Stars of both participants for this trip. */
export interface TripRatings {
  byRider: number | null;
  byDriver: number | null;
}

export const offerOf = (trip: Trip): TripOffer | null => (trip.status === 'offered' ? trip.offer : null);
export const driverOf = (trip: Trip): AssignedDriver | null => ('driver' in trip ? trip.driver : null);
export const endOf = (trip: Trip): EndedTrip['end'] | null => ('end' in trip ? trip.end : null);

/** A trip read to accept or decline its offer, with the current average ratings of both participants. */
export type TripWithAverages = Trip & { averageRatings: AverageRatings };

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
