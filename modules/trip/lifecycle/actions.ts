import type { LatLng } from '@contracts/geo.ts';
import type { SignOutReason } from '@contracts/trips.ts';
import type {
  ActorRef,
  AverageRatings,
  DriverActor,
  OfferedDriver,
  OperatorActor,
  RiderActor,
  SystemActor,
} from '../trip.ts';

/** The actions on a trip, and who may perform each. */
export type TripAction =
  | { kind: 'offer'; by: SystemActor; driver: OfferedDriver }
  | { kind: 'accept'; by: DriverActor; name: string | null; averageRatings: AverageRatings }
  | { kind: 'decline'; by: DriverActor; reason: string | null }
  /** A reason means that the offer lapses early, because the driver can no longer answer it. */
  | { kind: 'lapse'; by: SystemActor; reason: SignOutReason | null }
  /**
   * Takes the trip from the driver who has the offer or the assignment, and searches for another driver.
   * `pickup` is the place where the rider waits now, if it has changed.
   */
  | { kind: 'reassign'; by: SystemActor | OperatorActor; reason: string; pickup?: LatLng | undefined }
  | { kind: 'give_up'; by: SystemActor }
  | { kind: 'arrive'; by: DriverActor }
  | { kind: 'start'; by: DriverActor; code: string }
  | { kind: 'complete'; by: DriverActor | OperatorActor | SystemActor; reason: string | null }
  /** The rider ends a ride whose driver has stopped sending positions. */
  | { kind: 'end_after_silence'; by: RiderActor; lastPositionAtMs: number | null }
  | { kind: 'cancel'; by: ActorRef; reason: string };
