import type { TripEventType } from '@contracts/events.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { FareRule, UnfulfilledReason } from '@contracts/trips.ts';
import type { TripAction } from './lifecycle/actions.ts';
import { nextTrip, timerAtMsOf } from './lifecycle/next-trip.ts';
import { type TransitionRule, transitionRules } from './lifecycle/transition-rules.ts';
import type { TripPolicy } from './settings.ts';
import {
  type ActorRef,
  type DriverActor,
  driverOf,
  type HistoryEntry,
  offerOf,
  type RequestedTrip,
  type Trip,
  type TripBase,
} from './trip.ts';

export interface TripTransition {
  trip: Trip;
  historyEntry: HistoryEntry;
  /** When the previous state began. Null for the creation of a trip. */
  previousStateSinceMs: number | null;
  eventType: TripEventType;
  /** The driver whose offer this transition offeredDriver, or ended without an assignment. */
  offeredDriverId: DriverId | null;
  /** The driver who loses the trip by this transition. */
  replacedDriverId: DriverId | null;
  fareRule: FareRule | null;
}

export type RejectionCode =
  | 'trip.not_found'
  | 'trip.wrong_state'
  | 'trip.offer_expired'
  | 'trip.driver_not_silent'
  | 'trip.pickup_missing'
  | 'trip.start_code_wrong'
  | 'trip.start_code_blocked';

export type TransitionDecision =
  | { kind: 'allowed'; transition: TripTransition }
  /** The same actor has done the same before and the trip is still in that state: a retry after a lost response. */
  | { kind: 'repeated' }
  | { kind: 'rejected'; code: RejectionCode };

/** Decides what `action` does to the trip at `atMs`. A pure function: the caller writes the result. */
export function decideTransition(
  trip: Trip,
  action: TripAction,
  atMs: number,
  policy: TripPolicy,
): TransitionDecision {
  if (!isParty(trip, action)) return rejected('trip.not_found');
  if (isRepeated(trip, action)) return { kind: 'repeated' };
  if (answersOffer(action) && !isOfferOpen(trip, action, atMs)) {
    return rejected(
      trip.status === 'requested' || trip.status === 'offered' ? 'trip.offer_expired' : 'trip.wrong_state',
    );
  }
  const rule = transitionRules.find(
    ({ action: kind, from, by }) => kind === action.kind && from === trip.status && by === action.by.actor,
  );
  if (rule === undefined || isAtWrongTime(trip, action, atMs)) return rejected('trip.wrong_state');
  if (action.kind === 'end_after_silence' && atMs < driverSilentAtMs(trip, action.lastPositionAtMs, policy))
    return rejected('trip.driver_not_silent');
  // During a ride the rider is no longer at the original pickup.
  if (action.kind === 'reassign' && trip.status === 'in_progress' && action.pickup === undefined)
    return rejected('trip.pickup_missing');
  if (action.kind === 'start') {
    if (atMs < trip.startBlockedUntilMs) return rejected('trip.start_code_blocked');
    if (action.code !== trip.startCode) return rejected('trip.start_code_wrong');
  }
  return { kind: 'allowed', transition: transitionOf(trip, action, rule, atMs, policy) };
}

/** What the quote and the caller decide about a new trip. */
export type NewTrip = Pick<TripBase, 'id' | 'riderId' | 'riderProfile' | 'fare' | 'startCode'>;

/** The transition that creates a trip. */
export function createInitialTransition(newTrip: NewTrip, atMs: number, policy: TripPolicy): TripTransition {
  const trip: RequestedTrip = {
    ...newTrip,
    version: 1,
    status: 'requested',
    offeredDriverIds: [],
    wrongStartCodes: 0,
    startBlockedUntilMs: 0,
    searchUntilMs: atMs + policy.searchTimeoutMs,
    timerAtMs: timerAtMsOf('requested', atMs, policy),
    createdAtMs: atMs,
    updatedAtMs: atMs,
  };
  const historyEntry: HistoryEntry = {
    version: 1,
    from: null,
    to: 'requested',
    actor: 'rider',
    actorId: newTrip.riderId,
    reason: null,
    atMs,
  };
  return {
    trip,
    historyEntry,
    previousStateSinceMs: null,
    eventType: 'trip.requested.v1',
    offeredDriverId: null,
    replacedDriverId: null,
    fareRule: null,
  };
}

/** The time from which the driver of a ride counts as silent, unless a position newer than the last known one arrives. */
export const driverSilentAtMs = (trip: Trip, lastPositionAtMs: number | null, policy: TripPolicy): number =>
  Math.max(trip.updatedAtMs, lastPositionAtMs ?? 0) + policy.driverSilentMs;

/** Why a search ended without a driver: no driver got an offer, or none of those who got one accepted. */
export const unfulfilledReason = (trip: Trip): UnfulfilledReason =>
  trip.offeredDriverIds.length === 0 ? 'no_drivers' : 'search_timeout';

function transitionOf(
  trip: Trip,
  action: TripAction,
  { eventType, fareRule }: TransitionRule,
  atMs: number,
  policy: TripPolicy,
): TripTransition {
  const reason = reasonOf(trip, action);
  const next = nextTrip(trip, action, reason, atMs, policy);
  const historyEntry: HistoryEntry = {
    version: next.version,
    from: trip.status,
    to: next.status,
    actor: action.by.actor,
    actorId: action.by.actor === 'system' ? null : action.by.id,
    reason,
    atMs,
  };
  return {
    trip: next,
    historyEntry,
    previousStateSinceMs: trip.updatedAtMs,
    eventType,
    offeredDriverId: offeredDriverIdOf(trip, action),
    replacedDriverId: action.kind === 'reassign' ? (driverOf(trip)?.id ?? null) : null,
    fareRule,
  };
}

function offeredDriverIdOf(trip: Trip, action: TripAction): DriverId | null {
  if (action.kind === 'offer') return action.driver.id;
  return action.kind === 'accept' ? null : (offerOf(trip)?.driver.id ?? null);
}

function reasonOf(trip: Trip, action: TripAction): string | null {
  switch (action.kind) {
    case 'cancel':
    case 'decline':
    case 'lapse':
    case 'reassign':
    case 'complete':
      return action.reason;
    case 'end_after_silence':
      return 'driver_silent';
    case 'give_up':
      return unfulfilledReason(trip);
    default:
      return null;
  }
}

const answersOffer = (action: TripAction): action is Extract<TripAction, { kind: 'accept' | 'decline' }> =>
  action.kind === 'accept' || action.kind === 'decline';

function isParty(trip: Trip, action: TripAction): boolean {
  const { by } = action;
  if (by.actor === 'system' || by.actor === 'ops') return true;
  if (by.actor === 'rider') return by.id === trip.riderId;
  // A driver who once had an offer may learn that it is gone. Other drivers get "not found".
  return answersOffer(action) ? trip.offeredDriverIds.includes(by.id) : by.id === driverOf(trip)?.id;
}

function isOfferOpen(trip: Trip, { by }: { by: DriverActor }, atMs: number): boolean {
  return trip.status === 'offered' && trip.offer.driver.id === by.id && atMs < trip.offer.expiresAtMs;
}

function isRepeated(trip: Trip, action: TripAction): boolean {
  const { by } = action;
  switch (action.kind) {
    case 'accept':
    case 'arrive':
    case 'start':
      return (
        isDriver(trip, by) &&
        transitionRules.some(({ action: kind, to }) => kind === action.kind && to === trip.status)
      );
    case 'complete':
      // A driver who lost the connection only needs the ride to be over. An operator must learn who ended it.
      return trip.status === 'completed' && (isDriver(trip, by) || trip.end.by === by.actor);
    case 'end_after_silence':
      return trip.status === 'completed';
    case 'decline':
      // The driver no longer has the offer, which is all that a decline asks for.
      return offerOf(trip)?.driver.id !== action.by.id && driverOf(trip)?.id !== action.by.id;
    case 'cancel':
      return by.actor !== 'system' && trip.status === 'cancelled' && trip.end.by === by.actor;
    case 'offer':
    case 'lapse':
    case 'reassign':
    case 'give_up':
      return false;
  }
}

const isDriver = (trip: Trip, by: ActorRef): boolean => by.actor === 'driver' && driverOf(trip)?.id === by.id;

/** Rejects actions of the system at the wrong time: a timer that fires early, or an offer after the search has ended. */
function isAtWrongTime(trip: Trip, action: TripAction, atMs: number): boolean {
  switch (action.kind) {
    case 'lapse':
      return action.reason === null && trip.status === 'offered' && atMs < trip.offer.expiresAtMs;
    case 'give_up':
      return atMs < trip.searchUntilMs;
    case 'offer':
      return atMs >= trip.searchUntilMs || trip.offeredDriverIds.includes(action.driver.id);
    default:
      return false;
  }
}

const rejected = (code: RejectionCode): TransitionDecision => ({ kind: 'rejected', code });
