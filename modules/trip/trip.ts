import type { Product, Vehicle } from '@contracts/drivers.ts';
import type { LatLng } from '@contracts/geo.ts';
import type { DriverId, PaymentMethodId, PersonId, QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { Money } from '@contracts/money.ts';
import type { FareLine } from '@contracts/payments.ts';
import type { Actor, DriverProfile, RiderProfile, TripStatus } from '@contracts/trips.ts';

/** A trip as its context keeps it. Which of the nullable parts are there follows from `status`. */
export interface Trip {
  id: TripId;
  /** 1 when created; rises by one with each transition. It is the fence of every write. */
  version: number;
  status: TripStatus;
  riderId: RiderId;
  /** The open offer; there exactly while `offered`. */
  offer: { driver: AssignedDriver; expiresAtMs: number } | null;
  /** What the driver learns of the rider, and the rider of the driver. Ratings are those at the assignment. */
  riderProfile: RiderProfile;
  /** There exactly when `driver` is. */
  driverProfile: DriverProfile | null;
  /** Who drives; there from `assigned` on, and stays. */
  driver: AssignedDriver | null;
  /** Who ended it and why; there exactly in the three final states. */
  end: { by: Actor; reason: string | null } | null;
  /** Everyone who got an offer, in order: nobody is asked twice. */
  offeredDriverIds: readonly DriverId[];
  /** The rider says these four digits at the pickup, so that the right person gets in. */
  startCode: string;
  wrongStartCodes: number;
  startBlockedUntilMs: number;
  ratings: { byRider: number | null; byDriver: number | null };
  /** When the search for a driver is given up. */
  searchUntilMs: number;
  /** When the system acts if nobody else does; null exactly in the final states. */
  timerAtMs: number | null;
  createdAtMs: number;
  /** When the last transition was. */
  updatedAtMs: number;
  fare: TripFare;
}

export interface AssignedDriver {
  id: DriverId;
  vehicle: Vehicle;
}

/** A trip as it is read for an answer to its offer, with what its two people are rated now. */
export interface OfferedTrip extends Trip {
  averageRatings: AverageRatings;
}

/** Average stars of the two people, to a tenth; null where none were given. */
export interface AverageRatings {
  rider: number | null;
  driver: number | null;
}

/** What the quote bound. Only the pickup ever changes: when a ride is handed over on the way. */
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

/** Who does something: one of the trip's people, an operator, or the system (timers, dispatch). */
export type ActorRef =
  | { actor: 'rider'; id: RiderId }
  | { actor: 'driver'; id: DriverId }
  | { actor: 'ops'; id: PersonId }
  | { actor: 'system' };

export type RiderActor = Extract<ActorRef, { actor: 'rider' }>;
export type DriverActor = Extract<ActorRef, { actor: 'driver' }>;
export type OperatorActor = Extract<ActorRef, { actor: 'ops' }>;
export type SystemActor = Extract<ActorRef, { actor: 'system' }>;
/** One of the trip's people. */
export type Participant = RiderActor | DriverActor;
/** Who may look at a trip and act on it: its people, and operators, for whom every trip exists. */
export type TripParty = Participant | OperatorActor;

/** The row that a transition leaves in the history. */
export interface HistoryEntry {
  version: number;
  from: TripStatus | null;
  to: TripStatus;
  actor: Actor;
  actorId: RiderId | DriverId | PersonId | null;
  reason: string | null;
  atMs: number;
}
