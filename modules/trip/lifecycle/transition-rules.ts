import type { TripEventType } from '@contracts/events.ts';
import type { Actor, FareRule, TripStatus } from '@contracts/trips.ts';
import type { TripPolicy } from '../settings.ts';
import type { ActiveTrip, EndedTrip } from '../trip.ts';
import type { TripAction } from './actions.ts';

export interface TransitionRule {
  action: TripAction['kind'];
  from: TripStatus;
  by: Actor;
  to: TripStatus;
  eventType: TripEventType;
  /** How the ride is charged. Null for transitions that do not complete a ride. */
  fareRule: FareRule | null;
}

/** Every legal transition. Everything else is rejected. */
export const transitionRules: readonly TransitionRule[] = [
  rule('offer', 'requested', 'system', 'offered', 'trip.offered.v1'),
  rule('accept', 'offered', 'driver', 'assigned', 'trip.assigned.v1'),
  rule('decline', 'offered', 'driver', 'requested', 'trip.offer_declined.v1'),
  rule('lapse', 'offered', 'system', 'requested', 'trip.offer_lapsed.v1'),
  rule('reassign', 'assigned', 'system', 'requested', 'trip.driver_replaced.v1'),
  rule('reassign', 'arrived', 'system', 'requested', 'trip.driver_replaced.v1'),
  rule('reassign', 'offered', 'ops', 'requested', 'trip.offer_lapsed.v1'),
  rule('reassign', 'assigned', 'ops', 'requested', 'trip.driver_replaced.v1'),
  rule('reassign', 'arrived', 'ops', 'requested', 'trip.driver_replaced.v1'),
  rule('reassign', 'in_progress', 'ops', 'requested', 'trip.driver_replaced.v1'),
  rule('arrive', 'assigned', 'driver', 'arrived', 'trip.arrived.v1'),
  rule('start', 'arrived', 'driver', 'in_progress', 'trip.started.v1'),
  rule('complete', 'in_progress', 'driver', 'completed', 'trip.completed.v1', 'quoted'),
  rule('complete', 'in_progress', 'ops', 'completed', 'trip.completed.v1', 'quoted'),
  rule('complete', 'in_progress', 'system', 'completed', 'trip.completed.v1', 'metered'),
  rule('end_after_silence', 'in_progress', 'rider', 'completed', 'trip.completed.v1', 'metered'),

  rule('cancel', 'requested', 'rider', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'offered', 'rider', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'assigned', 'rider', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'arrived', 'rider', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'assigned', 'driver', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'arrived', 'driver', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'requested', 'system', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'offered', 'system', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'assigned', 'system', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'arrived', 'system', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'requested', 'ops', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'offered', 'ops', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'assigned', 'ops', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'arrived', 'ops', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'in_progress', 'ops', 'cancelled', 'trip.cancelled.v1'),
  rule('give_up', 'requested', 'system', 'unfulfilled', 'trip.unfulfilled.v1'),
];

/** How long a trip may stay in a state before the system acts. */
export const stateTimeouts: Record<ActiveTrip['status'], keyof TripPolicy> = {
  requested: 'dispatchRetryMs',
  offered: 'offerTimeoutMs',
  assigned: 'pickupTimeoutMs',
  arrived: 'noShowTimeoutMs',
  in_progress: 'tripTimeoutMs',
};

export const isFinal = (status: TripStatus): status is EndedTrip['status'] => !(status in stateTimeouts);

function rule(
  action: TripAction['kind'],
  from: TripStatus,
  by: Actor,
  to: TripStatus,
  eventType: TripEventType,
  fareRule: FareRule | null = null,
): TransitionRule {
  return { action, from, by, to, eventType, fareRule };
}
