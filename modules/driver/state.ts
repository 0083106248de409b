import type { DriverStatus, Product, Vehicle } from '@contracts/drivers.ts';
import type { TripId } from '@contracts/ids.ts';

/**
 * A driver's state, as values: what he wants, and which trips lay claim to him. His status follows:
 * busy while a trip holds him, else what he wants.
 *
 * Trip events come at least once, and after retries in any order. So the state is built to end the
 * same whatever the order:
 *
 *  - Of each trip only its event with the highest version counts. Versions are given out by the trip
 *    context's database, so no clock decides here, and a duplicate or a late event changes nothing.
 *    A hold has the version of the trip that asks for it, so the offer that follows replaces it.
 *  - What one trip says never overwrites what another says: a late "lapsed" of one trip can't free a
 *    driver who drives another, since the status is computed over all of them.
 *  - Trips that ended are remembered too (or a late "offered" would hold the driver again), but not
 *    for ever: the oldest leave, and leave behind the time up to which ended trips are forgotten.
 *    An event from before that time about a trip that is not remembered can only be a late one, since
 *    a driver has one trip at a time: it changes nothing.
 */
export interface DriverState {
  /** His own wish; outlives offers and trips. `available` only with a vehicle. */
  requestedStatus: RequestedStatus;
  /** When they last asked to be available, or were signed out, unix ms. */
  requestedAtMs: number;
  vehicle: Vehicle | null;
  engagements: readonly Engagement[];
  /** Unix ms of the newest ended engagement that was forgotten; 0 when none was. */
  forgottenUntilMs: number;
}

export type RequestedStatus = 'available' | 'offline';

/** What a trip said last about this driver: by its newest known event, or by a hold before its offer. */
export interface Engagement {
  tripId: TripId;
  /** Of the trip, when it said so. */
  version: number;
  phase: 'held' | 'on_trip' | 'ended';
  /** When the trip said so, unix ms by the trip context's clock. */
  atMs: number;
  /** When the offer that holds him runs out, unix ms; null unless held. */
  untilMs: number | null;
}

export const newDriver: DriverState = {
  requestedStatus: 'offline',
  requestedAtMs: 0,
  vehicle: null,
  engagements: [],
  forgottenUntilMs: 0,
};

// A retried event is minutes late, an ended trip takes a minute at least (a declined offer seconds):
// 32 cover that, and keep the row within one page.
const endedRemembered = 32;

// The trip context lets an offer lapse in time; this is how long after that we no longer wait to hear of it.
const offerGraceMs = 10_000;

export const statusOf = (state: DriverState): DriverStatus =>
  currentEngagement(state)?.phase ?? state.requestedStatus;

export const isBusy = (state: DriverState): boolean => currentEngagement(state) !== undefined;

/** The trip that has the driver, if one has: a trip before an offer, the newest of several. */
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

/** Takes in what a trip says about the driver. Gives the same object when it is nothing new. */
export function applyEngagement(state: DriverState, said: Engagement): DriverState {
  const known = state.engagements.find(({ tripId }) => tripId === said.tripId);
  if (known !== undefined && !supersedes(said, known)) return state;
  if (known === undefined && said.atMs <= state.forgottenUntilMs) return state;
  const engagements = [...state.engagements.filter((one) => one !== known), said];
  return forgetOldest({ ...state, engagements });
}

/** Of one trip. A hold that led to no offer ends at its own version. */
const supersedes = (said: Engagement, known: Engagement): boolean =>
  said.version > known.version ||
  (said.version === known.version && known.phase === 'held' && said.phase === 'ended');

/** A trip that is about to make an offer asks for the driver. */
export interface HoldTerms {
  tripId: TripId;
  version: number;
  product: Product;
  atMs: number;
  untilMs: number;
}

/**
 * Keeps the driver for one trip. Undefined when they can't be asked: not available, held or driving (also
 * for this very trip: two dispatchers must not both make its offer), in another kind of vehicle, or the
 * trip has moved on since it asked.
 */
export function holdDriver(
  state: DriverState,
  { product, ...terms }: HoldTerms,
): { state: DriverState; vehicle: Vehicle } | undefined {
  const { vehicle } = state;
  if (statusOf(state) !== 'available' || vehicle?.product !== product) return undefined;
  const known = state.engagements.find(({ tripId }) => tripId === terms.tripId);
  if (known !== undefined && known.version > terms.version) return undefined;
  const engagements = state.engagements.filter((one) => one !== known);
  return { state: { ...state, engagements: [...engagements, { ...terms, phase: 'held' }] }, vehicle };
}

function forgetOldest(state: DriverState): DriverState {
  const ended = state.engagements.filter(({ phase }) => phase === 'ended');
  const forgotten = ended
    .toSorted((a, b) => b.atMs - a.atMs || (a.tripId < b.tripId ? -1 : 1))
    .slice(endedRemembered);
  if (forgotten.length === 0) return state;
  return {
    ...state,
    engagements: state.engagements.filter((one) => !forgotten.includes(one)),
    forgottenUntilMs: Math.max(state.forgottenUntilMs, ...forgotten.map(({ atMs }) => atMs)),
  };
}

/**
 * Frees the driver of offers that ran out some time ago without a word: a state has a timer, also
 * when the event that should end it is stuck among the dead letters. The version stays, so whatever
 * the trip says next still counts. Gives the same object when there is none.
 */
export function expireOffers(state: DriverState, nowMs: number): DriverState {
  const isOver = ({ phase, untilMs }: Engagement) =>
    phase === 'held' && untilMs !== null && untilMs + offerGraceMs < nowMs;
  if (!state.engagements.some(isOver)) return state;
  return forgetOldest({
    ...state,
    engagements: state.engagements.map((one) =>
      isOver(one) ? { ...one, phase: 'ended', untilMs: null } : one,
    ),
  });
}

/** When `expireOffers` has work at the earliest, unix ms; null while no offer holds the driver. */
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

/** The driver asks to be available or offline. */
export function requestStatus(
  state: DriverState,
  requestedStatus: RequestedStatus,
  atMs: number,
): DriverDecision {
  if (requestedStatus === 'available' && state.vehicle === null)
    return { kind: 'refused', code: 'driver.vehicle_required' };
  if (requestedStatus === 'offline' && isBusy(state)) return { kind: 'refused', code: 'driver.busy' };
  // To be available is noted also when they are: it stands against a sign-out from before that comes late.
  const isNews =
    requestedStatus !== state.requestedStatus ||
    (requestedStatus === 'available' && atMs > state.requestedAtMs);
  if (!isNews) return { kind: 'unchanged' };
  return {
    kind: 'changed',
    state: { ...state, requestedStatus, requestedAtMs: Math.max(atMs, state.requestedAtMs) },
  };
}

/**
 * The driver has signed out, or was banned, at `atMs`. They are offline whatever they do: at once, also out
 * of an offer, which they can't answer; on a trip, when it ends. What they asked for after that moment
 * stands. Gives the same object when it changes nothing.
 */
export function signOutDriver(state: DriverState, atMs: number): DriverState {
  if (state.requestedAtMs > atMs) return state;
  const isHeld = state.engagements.some(({ phase }) => phase === 'held');
  if (state.requestedStatus === 'offline' && !isHeld) return state;
  const engagements = state.engagements.map(
    (one): Engagement => (one.phase === 'held' ? { ...one, phase: 'ended', untilMs: null } : one),
  );
  return forgetOldest({ ...state, requestedStatus: 'offline', requestedAtMs: atMs, engagements });
}

/** The driver takes another vehicle; not while a rider was told which one is coming. */
export function changeVehicle(state: DriverState, vehicle: Vehicle): DriverDecision {
  if (isBusy(state)) return { kind: 'refused', code: 'driver.busy' };
  if (state.vehicle !== null && Bun.deepEquals(state.vehicle, vehicle)) return { kind: 'unchanged' };
  return { kind: 'changed', state: { ...state, vehicle } };
}
