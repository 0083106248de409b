import type { LatLng } from '@contracts/geo.ts';
import type { SignOutReason } from '@contracts/trips.ts';
import type { AssignedDriver, Averages, By, Driver, Operator, Rider, System } from './trip.ts';

/** What may be done to a trip, and by whom it is done. */
export type Action =
  | { kind: 'offer'; by: System; driver: AssignedDriver }
  | { kind: 'accept'; by: Driver; name: string | null; averages: Averages }
  | { kind: 'decline'; by: Driver; reason: string | null }
  /** With a reason: before its time, since the driver can't answer any more. */
  | { kind: 'lapse'; by: System; reason: SignOutReason | null }
  /**
   * The driver who is asked or assigned can't serve the trip: it goes back to the search, without them.
   * `pickup` is where the rider waits now, when that is elsewhere.
   */
  | { kind: 'replace'; by: System | Operator; reason: string; pickup?: LatLng | undefined }
  | { kind: 'give_up'; by: System }
  | { kind: 'arrive'; by: Driver }
  | { kind: 'start'; by: Driver; code: string }
  | { kind: 'complete'; by: Driver | Operator | System; reason: string | null }
  /** The rider ends a ride whose driver has fallen silent. */
  | { kind: 'end_silent'; by: Rider; lastPositionAtMs: number | null }
  | { kind: 'cancel'; by: By; reason: string };
