import type { TripEventType } from '@contracts/events.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { Actor, SignOutReason, TripStatus, UnfulfilledReason } from '@contracts/trips.ts';
import type { TripPolicy } from './settings.ts';
import type { AssignedDriver, By, HistoryEntry, Trip } from './trip.ts';

/** What may be done to a trip, and by whom it is done. */
export type Action =
  | { kind: 'offer'; by: System; driver: AssignedDriver }
  | { kind: 'accept'; by: Driver }
  | { kind: 'decline'; by: Driver; reason: string | null }
  /** With a reason: before its time, since the driver can't answer any more. */
  | { kind: 'lapse'; by: System; reason: SignOutReason | null }
  /** The assigned driver can't serve the trip: it goes back to the search, without them. */
  | { kind: 'replace'; by: System; reason: string }
  | { kind: 'give_up'; by: System }
  | { kind: 'arrive'; by: Driver }
  | { kind: 'start'; by: Driver; code: string }
  | { kind: 'complete'; by: Driver }
  | { kind: 'cancel'; by: By; reason: string };

type System = Extract<By, { actor: 'system' }>;
type Driver = Extract<By, { actor: 'driver' }>;

interface Rule {
  action: Action['kind'];
  from: TripStatus;
  by: Actor;
  to: TripStatus;
  event: TripEventType;
}

/** Every legal transition. What is not here does not happen. */
export const rules: readonly Rule[] = [
  rule('offer', 'requested', 'system', 'offered', 'trip.offered.v1'),
  rule('accept', 'offered', 'driver', 'assigned', 'trip.assigned.v1'),
  rule('decline', 'offered', 'driver', 'requested', 'trip.offer_declined.v1'),
  rule('lapse', 'offered', 'system', 'requested', 'trip.offer_lapsed.v1'),
  rule('replace', 'assigned', 'system', 'requested', 'trip.driver_replaced.v1'),
  rule('replace', 'arrived', 'system', 'requested', 'trip.driver_replaced.v1'),
  rule('arrive', 'assigned', 'driver', 'arrived', 'trip.arrived.v1'),
  rule('start', 'arrived', 'driver', 'in_progress', 'trip.started.v1'),
  rule('complete', 'in_progress', 'driver', 'completed', 'trip.completed.v1'),

  rule('cancel', 'requested', 'rider', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'offered', 'rider', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'assigned', 'rider', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'arrived', 'rider', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'assigned', 'driver', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'arrived', 'driver', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'assigned', 'system', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'arrived', 'system', 'cancelled', 'trip.cancelled.v1'),
  rule('cancel', 'in_progress', 'system', 'cancelled', 'trip.cancelled.v1'),
  rule('give_up', 'requested', 'system', 'unfulfilled', 'trip.unfulfilled.v1'),
];

/** How long a trip may stay in a state before the system acts; null where it rests for good. */
const timers: Record<TripStatus, keyof TripPolicy | null> = {
  requested: 'dispatchRetryMs',
  offered: 'offerTimeoutMs',
  assigned: 'pickupTimeoutMs',
  arrived: 'noShowTimeoutMs',
  in_progress: 'tripTimeoutMs',
  completed: null,
  cancelled: null,
  unfulfilled: null,
};

export const isFinal = (status: TripStatus): boolean => timers[status] === null;

export interface Step {
  trip: Trip;
  entry: HistoryEntry;
  /** When the state began that this step ended; null for the first step. */
  sinceMs: number | null;
  event: TripEventType;
  /** The driver whose offer this step made or ended without an assignment. */
  offeredDriverId: DriverId | null;
  /** The driver who was assigned until this step, which goes on without them. */
  replacedDriverId: DriverId | null;
}

export type Refusal =
  | 'trip.not_found'
  | 'trip.wrong_state'
  | 'trip.offer_expired'
  | 'trip.start_code_wrong'
  | 'trip.start_code_blocked';

export type Transition =
  | { kind: 'moved'; step: Step }
  /** The same actor did just that before and the trip still stands there: their first answer was lost. */
  | { kind: 'repeated' }
  | { kind: 'refused'; code: Refusal };

/** What `action` at `atMs` makes of the trip. Pure: it decides, others write. */
export function transition(trip: Trip, action: Action, atMs: number, policy: TripPolicy): Transition {
  if (!isParty(trip, action)) return refused('trip.not_found');
  if (isRepeat(trip, action)) return { kind: 'repeated' };
  if (isAnswerToOffer(action) && !isOfferOpen(trip, action, atMs)) {
    return refused(
      trip.status === 'requested' || trip.status === 'offered' ? 'trip.offer_expired' : 'trip.wrong_state',
    );
  }
  const legal = rules.find(
    ({ action: kind, from, by }) => kind === action.kind && from === trip.status && by === action.by.actor,
  );
  if (legal === undefined || isUntimely(trip, action, atMs)) return refused('trip.wrong_state');
  if (action.kind === 'start') {
    if (atMs < trip.startBlockedUntilMs) return refused('trip.start_code_blocked');
    if (action.code !== trip.startCode) return refused('trip.start_code_wrong');
  }
  return { kind: 'moved', step: stepOf(trip, action, legal, atMs, policy) };
}

/** The first state of a trip: everything that a creation decides except what the quote bound. */
export function firstStep(
  asked: Pick<Trip, 'id' | 'riderId' | 'fare' | 'startCode'>,
  atMs: number,
  policy: TripPolicy,
): Step {
  const trip: Trip = {
    ...asked,
    version: 1,
    status: 'requested',
    offer: null,
    driver: null,
    end: null,
    askedDriverIds: [],
    wrongStartCodes: 0,
    startBlockedUntilMs: 0,
    ratings: { byRider: null, byDriver: null },
    searchUntilMs: atMs + policy.searchTimeoutMs,
    timerAtMs: timerOf('requested', atMs, policy),
    createdAtMs: atMs,
    updatedAtMs: atMs,
  };
  const entry: HistoryEntry = {
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
    entry,
    sinceMs: null,
    event: 'trip.requested.v1',
    offeredDriverId: null,
    replacedDriverId: null,
  };
}

/** Why a search ended without a driver: nobody could be asked at all, or nobody who was asked came. */
export const unfulfilledReason = (trip: Trip): UnfulfilledReason =>
  trip.askedDriverIds.length === 0 ? 'no_drivers' : 'search_timeout';

function stepOf(trip: Trip, action: Action, { to, event }: Rule, atMs: number, policy: TripPolicy): Step {
  const timerAtMs = timerOf(to, atMs, policy);
  const made = action.kind === 'offer' ? action.driver : null;
  const reason = reasonOf(trip, action);
  const next: Trip = {
    ...trip,
    version: trip.version + 1,
    status: to,
    offer: made === null ? null : { driver: made, expiresAtMs: atMs + policy.offerTimeoutMs },
    driver: driverAfter(trip, action),
    end: timerAtMs === null ? { by: action.by.actor, reason } : null,
    askedDriverIds: made === null ? trip.askedDriverIds : [...trip.askedDriverIds, made.id],
    // Who loses their driver waits for a new one as long as they did for the first.
    searchUntilMs: action.kind === 'replace' ? atMs + policy.searchTimeoutMs : trip.searchUntilMs,
    timerAtMs,
    updatedAtMs: atMs,
  };
  const entry: HistoryEntry = {
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
  return { trip: next, entry, sinceMs: trip.updatedAtMs, event, offeredDriverId, replacedDriverId };
}

function driverAfter(trip: Trip, { kind }: Action): AssignedDriver | null {
  if (kind === 'replace') return null;
  return kind === 'accept' ? (trip.offer?.driver ?? null) : trip.driver;
}

function timerOf(status: TripStatus, atMs: number, policy: TripPolicy): number | null {
  const limit = timers[status];
  return limit === null ? null : atMs + policy[limit];
}

function reasonOf(trip: Trip, action: Action): string | null {
  switch (action.kind) {
    case 'cancel':
    case 'decline':
    case 'lapse':
    case 'replace':
      return action.reason;
    case 'give_up':
      return unfulfilledReason(trip);
    default:
      return null;
  }
}

const isAnswerToOffer = (action: Action): action is Extract<Action, { kind: 'accept' | 'decline' }> =>
  action.kind === 'accept' || action.kind === 'decline';

function isParty(trip: Trip, action: Action): boolean {
  const { by } = action;
  if (by.actor === 'system') return true;
  if (by.actor === 'rider') return by.id === trip.riderId;
  // Who was asked once may hear that the offer is gone; to the others the trip does not exist.
  return isAnswerToOffer(action) ? trip.askedDriverIds.includes(by.id) : by.id === trip.driver?.id;
}

function isOfferOpen(trip: Trip, { by }: { by: Driver }, atMs: number): boolean {
  return trip.offer !== null && trip.offer.driver.id === by.id && atMs < trip.offer.expiresAtMs;
}

function isRepeat(trip: Trip, action: Action): boolean {
  const { by } = action;
  switch (action.kind) {
    case 'accept':
    case 'arrive':
    case 'start':
    case 'complete':
      return (
        by.actor === 'driver' &&
        trip.driver?.id === by.id &&
        rules.some(({ action: kind, to }) => kind === action.kind && to === trip.status)
      );
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

/** The system's own acts have their time: a timer that rings early or a search that ends late changes nothing. */
function isUntimely(trip: Trip, action: Action, atMs: number): boolean {
  switch (action.kind) {
    case 'lapse':
      return action.reason === null && trip.offer !== null && atMs < trip.offer.expiresAtMs;
    case 'give_up':
      return atMs < trip.searchUntilMs;
    case 'offer':
      return atMs >= trip.searchUntilMs || trip.askedDriverIds.includes(action.driver.id);
    default:
      return false;
  }
}

const refused = (code: Refusal): Transition => ({ kind: 'refused', code });

function rule(
  action: Action['kind'],
  from: TripStatus,
  by: Actor,
  to: TripStatus,
  event: TripEventType,
): Rule {
  return { action, from, by, to, event };
}
