import type { LatLng } from '@contracts/geo.ts';
import type { SignOutReason } from '@contracts/trips.ts';
import type {
  ActorRef,
  AssignedDriver,
  AverageRatings,
  DriverActor,
  OperatorActor,
  RiderActor,
  SystemActor,
} from '../trip.ts';

/** What may be done to a trip, and by whom it is done. */
export type TripAction =
  | { kind: 'offer'; by: SystemActor; driver: AssignedDriver }
  | { kind: 'accept'; by: DriverActor; name: string | null; averages: AverageRatings }
  | { kind: 'decline'; by: DriverActor; reason: string | null }
  /** With a reason: before its time, since the driver can't answer any more. */
  | { kind: 'lapse'; by: SystemActor; reason: SignOutReason | null }
  /**
   * The driver who is asked or assigned can't serve the trip: it goes back to the search, without them.
   * `pickup` is where the rider waits now, when that is elsewhere.
   */
  | { kind: 'replace'; by: SystemActor | OperatorActor; reason: string; pickup?: LatLng | undefined }
  | { kind: 'give_up'; by: SystemActor }
  | { kind: 'arrive'; by: DriverActor }
  | { kind: 'start'; by: DriverActor; code: string }
  | { kind: 'complete'; by: DriverActor | OperatorActor | SystemActor; reason: string | null }
  /** The rider ends a ride whose driver has fallen silent. */
  | { kind: 'end_silent'; by: RiderActor; lastPositionAtMs: number | null }
  | { kind: 'cancel'; by: ActorRef; reason: string };
