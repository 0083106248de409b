import type { DriverStatus, Product, Vehicle } from '@contracts/drivers.ts';
import type { TripId } from '@contracts/ids.ts';

/**
 * The state of a driver: the status they requested, and one engagement for each trip that claimed them. The
 * effective status is derived: held or on a trip while a trip claims the driver, else the requested status.
 *
 * Trip events are delivered at least once, and after retries in any order. The state converges to the same
 * result in every order:
 *
 *  - For each trip, only the event with the highest version counts. The database of the trip context assigns
 *    versions, so no clock decides, and a duplicate or late event changes nothing. A hold has the version of
 *    the trip that requests it, so the offer that follows replaces it.
 *  - An event of one trip never changes the engagement of another trip. A late "offer lapsed" of one trip
 *    can't free a driver who is on another one, because the status is computed over all engagements.
 *  - Ended engagements are kept too, because a late "offered" would otherwise hold the driver again. They are
 *    not kept for ever: the oldest are dropped, and `forgottenUntilMs` records up to which time. An event
 *    from before that time, about a trip without an engagement, can only be a late one, since a driver has
 *    one trip at a time. It changes nothing.
 */
export interface DriverState {
  /** The status that the driver requested. It outlives offers and trips. `available` requires a vehicle. */
  requestedStatus: RequestedStatus;
  /** When the driver last requested to be available, or was signed out, unix ms. */
  requestedAtMs: number;
  vehicle: Vehicle | null;
  engagements: readonly Engagement[];
  /** Time of the newest ended engagement that was dropped, unix ms; 0 when none was. */
  forgottenUntilMs: number;
}

export type RequestedStatus = 'available' | 'offline';

/** The claim of one trip on a driver, from its newest known event or from a hold before its offer. */
export interface Engagement {
  tripId: TripId;
  /** Version of the trip at that event. */
  version: number;
  phase: 'held' | 'on_trip' | 'ended';
  /** Time of that event, unix ms by the trip context's clock. */
  atMs: number;
  /** When the offer expires, unix ms; null unless held. */
  untilMs: number | null;
}

export const newDriver: DriverState = {
  requestedStatus: 'offline',
  requestedAtMs: 0,
  vehicle: null,
  engagements: [],
  forgottenUntilMs: 0,
};

// A retried event can be minutes late. A trip takes at least a minute and a declined offer some seconds, so
// 32 ended engagements cover that time and keep the row within one page.
const endedEngagementsMax = 32;

// The trip context lapses an offer in time; after this delay the driver no longer waits for that event.
const offerGraceMs = 10_000;

export const statusOf = (state: DriverState): DriverStatus =>
  currentEngagement(state)?.phase ?? state.requestedStatus;

export const isBusy = (state: DriverState): boolean => currentEngagement(state) !== undefined;

/** The engagement that decides the status, if any: a trip ranks above an offer, then the newest wins. */
export function currentEngagement(
  state: DriverState,
): (Engagement & { phase: 'held' | 'on_trip' }) | undefined {
  let found: (Engagement & { phase: 'held' | 'on_trip' }) | undefined;
  for (const { phase, ...rest } of state.engagements) {
    if (phase === 'ended') continue;
    const live = { ...rest, phase };
    if (found === undefined || outranks(live, found)) found = live;
  }
  return found;
}

function outranks(a: Engagement, b: Engagement): boolean {
  if (a.phase !== b.phase) return a.phase === 'on_trip';
  if (a.atMs !== b.atMs) return a.atMs > b.atMs;
  return a.tripId > b.tripId;
}

/** Applies an engagement to the state. Returns the same object when it adds nothing new. */
export function applyEngagement(state: DriverState, engagement: Engagement): DriverState {
  const known = state.engagements.find(({ tripId }) => tripId === engagement.tripId);
  if (known !== undefined && !supersedes(engagement, known)) return state;
  if (known === undefined && engagement.atMs <= state.forgottenUntilMs) return state;
  const engagements = [...state.engagements.filter((other) => other !== known), engagement];
  return forgetOldest({ ...state, engagements });
}

/** Compares two engagements of one trip. A hold that led to no offer ends at its own version. */
const supersedes = (engagement: Engagement, known: Engagement): boolean =>
  engagement.version > known.version ||
  (engagement.version === known.version && known.phase === 'held' && engagement.phase === 'ended');

/** The terms of a hold that a trip requests before it makes an offer. */
export interface HoldTerms {
  tripId: TripId;
  version: number;
  product: Product;
  atMs: number;
  untilMs: number;
}

/**
 * Holds the driver for one trip. Returns undefined when that is impossible: the driver is not available, is
 * held or on a trip (also for this same trip, since two dispatchers must not both make its offer), drives
 * another product, or a newer version of the trip is known.
 */
export function holdDriver(
  state: DriverState,
  { product, ...terms }: HoldTerms,
): { state: DriverState; vehicle: Vehicle } | undefined {
  const { vehicle } = state;
  if (statusOf(state) !== 'available' || vehicle?.product !== product) return undefined;
  const known = state.engagements.find(({ tripId }) => tripId === terms.tripId);
  if (known !== undefined && known.version > terms.version) return undefined;
  const engagements = state.engagements.filter((other) => other !== known);
  return { state: { ...state, engagements: [...engagements, { ...terms, phase: 'held' }] }, vehicle };
}

function forgetOldest(state: DriverState): DriverState {
  const ended = state.engagements.filter(({ phase }) => phase === 'ended');
  const forgotten = ended
    .toSorted((a, b) => b.atMs - a.atMs || (a.tripId < b.tripId ? -1 : 1))
    .slice(endedEngagementsMax);
  if (forgotten.length === 0) return state;
  return {
    ...state,
    engagements: state.engagements.filter((engagement) => !forgotten.includes(engagement)),
    forgottenUntilMs: Math.max(state.forgottenUntilMs, ...forgotten.map(({ atMs }) => atMs)),
  };
}

/**
 * Ends offers that expired some time ago without an event, for example because the event is among the dead
 * letters: every state has a timer. The engagement keeps its version, so the next event of the trip still
 * applies. Returns the same object when no offer expired.
 */
export function expireOffers(state: DriverState, nowMs: number): DriverState {
  const isExpired = ({ phase, untilMs }: Engagement) =>
    phase === 'held' && untilMs !== null && untilMs + offerGraceMs < nowMs;
  if (!state.engagements.some(isExpired)) return state;
  return forgetOldest({
    ...state,
    engagements: state.engagements.map((engagement) =>
      isExpired(engagement) ? endOffer(engagement) : engagement,
    ),
  });
}

const endOffer = (engagement: Engagement): Engagement => ({ ...engagement, phase: 'ended', untilMs: null });

/** The earliest time at which `expireOffers` changes something, unix ms; null when no offer holds the driver. */
export function offersExpireAtMs(state: DriverState): number | null {
  const ends = state.engagements.flatMap(({ phase, untilMs }) =>
    phase === 'held' && untilMs !== null ? [untilMs + offerGraceMs] : [],
  );
  return ends.length === 0 ? null : Math.min(...ends);
}

export type DriverDecision =
  | { kind: 'changed'; state: DriverState }
  | { kind: 'unchanged' }
  | { kind: 'refused'; code: 'driver.vehicle_required' | 'driver.busy' };

/** The driver requests to be available or offline. */
export function requestStatus(
  state: DriverState,
  requestedStatus: RequestedStatus,
  atMs: number,
): DriverDecision {
  if (requestedStatus === 'available' && state.vehicle === null)
    return { kind: 'refused', code: 'driver.vehicle_required' };
  if (requestedStatus === 'offline' && isBusy(state)) return { kind: 'refused', code: 'driver.busy' };
  // A repeated request to be available is recorded too: it protects against an earlier sign-out that arrives late.
  const isNew =
    requestedStatus !== state.requestedStatus ||
    (requestedStatus === 'available' && atMs > state.requestedAtMs);
  if (!isNew) return { kind: 'unchanged' };
  return {
    kind: 'changed',
    state: { ...state, requestedStatus, requestedAtMs: Math.max(atMs, state.requestedAtMs) },
  };
}

/**
 * The driver signed out, or was banned, at `atMs`. They go offline at once, also out of an offer, which they
 * can no longer answer; on a trip they go offline when it ends. A request that they made after `atMs` stays
 * in force. Returns the same object when nothing changes.
 */
export function signOutDriver(state: DriverState, atMs: number): DriverState {
  if (state.requestedAtMs > atMs) return state;
  const isHeld = state.engagements.some(({ phase }) => phase === 'held');
  if (state.requestedStatus === 'offline' && !isHeld) return state;
  const engagements = state.engagements.map((engagement) =>
    engagement.phase === 'held' ? endOffer(engagement) : engagement,
  );
  return forgetOldest({ ...state, requestedStatus: 'offline', requestedAtMs: atMs, engagements });
}

/** The driver changes to another vehicle. Refused while a rider has been told which vehicle is coming. */
export function changeVehicle(state: DriverState, vehicle: Vehicle): DriverDecision {
  if (isBusy(state)) return { kind: 'refused', code: 'driver.busy' };
  if (state.vehicle !== null && Bun.deepEquals(state.vehicle, vehicle)) return { kind: 'unchanged' };
  return { kind: 'changed', state: { ...state, vehicle } };
}
