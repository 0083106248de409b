import type { TripEventType } from '@contracts/events.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { FareRule, TripStatus, UnfulfilledReason } from '@contracts/trips.ts';
import type { TripAction } from './lifecycle/actions.ts';
import { stateTimeouts, type TransitionRule, transitionRules } from './lifecycle/transition-rules.ts';
import type { TripPolicy } from './settings.ts';
import type { ActorRef, DriverActor, HistoryEntry, Trip } from './trip.ts';

export interface TripTransition {
  trip: Trip;
  historyEntry: HistoryEntry;
  /** When the state began that this step ended; null for the first step. */
  previousStateSinceMs: number | null;
  eventType: TripEventType;
  /** The driver whose offer this step made or ended without an assignment. */
  offeredDriverId: DriverId | null;
  /** The driver who was assigned until this step, which goes on without them. */
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
  | { kind: 'moved'; step: TripTransition }
  /** The same actor did just that before and the trip still stands there: their first answer was lost. */
  | { kind: 'repeated' }
  | { kind: 'refused'; code: RejectionCode };

/** What `action` at `atMs` makes of the trip. Pure: it decides, others write. */
export function decideTransition(
  trip: Trip,
  action: TripAction,
  atMs: number,
  policy: TripPolicy,
): TransitionDecision {
  if (!isParty(trip, action)) return refused('trip.not_found');
  if (isRepeat(trip, action)) return { kind: 'repeated' };
  if (isAnswerToOffer(action) && !isOfferOpen(trip, action, atMs)) {
    return refused(
      trip.status === 'requested' || trip.status === 'offered' ? 'trip.offer_expired' : 'trip.wrong_state',
    );
  }
  const legal = transitionRules.find(
    ({ action: kind, from, by }) => kind === action.kind && from === trip.status && by === action.by.actor,
  );
  if (legal === undefined || isUntimely(trip, action, atMs)) return refused('trip.wrong_state');
  if (action.kind === 'end_silent' && atMs < driverSilentAtMs(trip, action.lastPositionAtMs, policy))
    return refused('trip.driver_not_silent');
  // The rider of a ride is no longer where it began.
  if (action.kind === 'replace' && trip.status === 'in_progress' && action.pickup === undefined)
    return refused('trip.pickup_missing');
  if (action.kind === 'start') {
    if (atMs < trip.startBlockedUntilMs) return refused('trip.start_code_blocked');
    if (action.code !== trip.startCode) return refused('trip.start_code_wrong');
  }
  return { kind: 'moved', step: stepOf(trip, action, legal, atMs, policy) };
}

/** The first state of a trip: everything that a creation decides except what the quote bound. */
export function createInitialTransition(
  asked: Pick<Trip, 'id' | 'riderId' | 'riderProfile' | 'fare' | 'startCode'>,
  atMs: number,
  policy: TripPolicy,
): TripTransition {
  const trip: Trip = {
    ...asked,
    version: 1,
    status: 'requested',
    offer: null,
    driver: null,
    driverProfile: null,
    end: null,
    offeredDriverIds: [],
    wrongStartCodes: 0,
    startBlockedUntilMs: 0,
    ratings: { byRider: null, byDriver: null },
    searchUntilMs: atMs + policy.searchTimeoutMs,
    timerAtMs: timerOf('requested', atMs, policy),
    createdAtMs: atMs,
    updatedAtMs: atMs,
  };
  const historyEntry: HistoryEntry = {
    version: 1,
    from: null,
    to: 'requested',
    actor: 'rider',
    actorId: asked.riderId,
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

/** When the driver of a ride counts as silent, if no newer position comes than the last one that is known. */
export const driverSilentAtMs = (trip: Trip, lastPositionAtMs: number | null, policy: TripPolicy): number =>
  Math.max(trip.updatedAtMs, lastPositionAtMs ?? 0) + policy.driverSilentMs;

/** Why a search ended without a driver: nobody could be asked at all, or nobody who was asked came. */
export const unfulfilledReason = (trip: Trip): UnfulfilledReason =>
  trip.offeredDriverIds.length === 0 ? 'no_drivers' : 'search_timeout';

function stepOf(
  trip: Trip,
  action: TripAction,
  { to, eventType, fareRule }: TransitionRule,
  atMs: number,
  policy: TripPolicy,
): TripTransition {
  const timerAtMs = timerOf(to, atMs, policy);
  const made = action.kind === 'offer' ? action.driver : null;
  const reason = reasonOf(trip, action);
  const next: Trip = {
    ...trip,
    version: trip.version + 1,
    status: to,
    offer: made === null ? null : { driver: made, expiresAtMs: atMs + policy.offerTimeoutMs },
    ...peopleAfter(trip, action),
    end: timerAtMs === null ? { by: action.by.actor, reason } : null,
    offeredDriverIds: made === null ? trip.offeredDriverIds : [...trip.offeredDriverIds, made.id],
    // Who loses their driver waits for a new one as long as they did for the first.
    searchUntilMs: action.kind === 'replace' ? atMs + policy.searchTimeoutMs : trip.searchUntilMs,
    fare:
      action.kind === 'replace' && action.pickup !== undefined
        ? { ...trip.fare, pickup: action.pickup }
        : trip.fare,
    timerAtMs,
    updatedAtMs: atMs,
  };
  const historyEntry: HistoryEntry = {
    version: next.version,
    from: trip.status,
    to,
    actor: action.by.actor,
    actorId: action.by.actor === 'system' ? null : action.by.id,
    reason,
    atMs,
  };
  const ended = action.kind === 'accept' ? null : trip.offer?.driver;
  const offeredDriverId = (made ?? ended)?.id ?? null;
  const replacedDriverId = action.kind === 'replace' ? (trip.driver?.id ?? null) : null;
  return {
    trip: next,
    historyEntry,
    previousStateSinceMs: trip.updatedAtMs,
    eventType,
    offeredDriverId,
    replacedDriverId,
    fareRule,
  };
}

/** Who the trip's people are after the action, and what they learn of one another. */
function peopleAfter({ offer, driver, driverProfile, riderProfile }: Trip, action: TripAction) {
  switch (action.kind) {
    case 'accept':
      return {
        driver: offer?.driver ?? null,
        driverCard: { name: action.name, rating: action.averages.driver },
        riderCard: { ...riderProfile, rating: action.averages.rider },
      };
    case 'replace':
      return { driver: null, driverCard: null, riderCard: riderProfile };
    default:
      return { driver, driverProfile, riderProfile };
  }
}

function timerOf(status: TripStatus, atMs: number, policy: TripPolicy): number | null {
  const limit = stateTimeouts[status];
  return limit === null ? null : atMs + policy[limit];
}

function reasonOf(trip: Trip, action: TripAction): string | null {
  switch (action.kind) {
    case 'cancel':
    case 'decline':
    case 'lapse':
    case 'replace':
    case 'complete':
      return action.reason;
    case 'end_silent':
      return 'driver_silent';
    case 'give_up':
      return unfulfilledReason(trip);
    default:
      return null;
  }
}

const isAnswerToOffer = (action: TripAction): action is Extract<TripAction, { kind: 'accept' | 'decline' }> =>
  action.kind === 'accept' || action.kind === 'decline';

function isParty(trip: Trip, action: TripAction): boolean {
  const { by } = action;
  if (by.actor === 'system' || by.actor === 'ops') return true;
  if (by.actor === 'rider') return by.id === trip.riderId;
  // Who was asked once may hear that the offer is gone; to the others the trip does not exist.
  return isAnswerToOffer(action) ? trip.offeredDriverIds.includes(by.id) : by.id === trip.driver?.id;
}

function isOfferOpen(trip: Trip, { by }: { by: DriverActor }, atMs: number): boolean {
  return trip.offer !== null && trip.offer.driver.id === by.id && atMs < trip.offer.expiresAtMs;
}

function isRepeat(trip: Trip, action: TripAction): boolean {
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
      // A driver who was cut off only wants the ride to be over; an operator must learn who ended it.
      return trip.status === 'completed' && (isDriver(trip, by) || trip.end?.by === by.actor);
    case 'end_silent':
      return trip.status === 'completed';
    case 'decline':
      // The offer has gone from them, which is all that they wanted.
      return trip.offer?.driver.id !== action.by.id && trip.driver?.id !== action.by.id;
    case 'cancel':
      return by.actor !== 'system' && trip.status === 'cancelled' && trip.end?.by === by.actor;
    case 'offer':
    case 'lapse':
    case 'replace':
    case 'give_up':
      return false;
  }
}

const isDriver = (trip: Trip, by: ActorRef): boolean => by.actor === 'driver' && trip.driver?.id === by.id;

/** The system's own acts have their time: a timer that rings early or a search that ends late changes nothing. */
function isUntimely(trip: Trip, action: TripAction, atMs: number): boolean {
  switch (action.kind) {
    case 'lapse':
      return action.reason === null && trip.offer !== null && atMs < trip.offer.expiresAtMs;
    case 'give_up':
      return atMs < trip.searchUntilMs;
    case 'offer':
      return atMs >= trip.searchUntilMs || trip.offeredDriverIds.includes(action.driver.id);
    default:
      return false;
  }
}

const refused = (code: RejectionCode): TransitionDecision => ({ kind: 'refused', code });
