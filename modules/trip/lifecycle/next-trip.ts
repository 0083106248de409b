import type { TripPolicy } from '../settings.ts';
import {
  type ActiveTrip,
  type AssignedDriver,
  driverOf,
  type EndedTrip,
  type Trip,
  type TripBase,
  type TripOffer,
} from '../trip.ts';
import type { TripAction } from './actions.ts';
import { stateTimeouts } from './transition-rules.ts';

/** When the timer of a trip that enters `status` is due. */
export const timerAtMsOf = (status: ActiveTrip['status'], atMs: number, policy: TripPolicy): number =>
  atMs + policy[stateTimeouts[status]];

/**
 * The trip after an action that the transition rules allow. `reason` is the reason that the history keeps.
 * Throws if the trip has no offer or driver although the action needs one: the rules exclude it.
 */
export function nextTrip(
  trip: Trip,
  action: TripAction,
  reason: string | null,
  atMs: number,
  policy: TripPolicy,
): Trip {
  const base: TripBase = { ...baseOf(trip), version: trip.version + 1, updatedAtMs: atMs };
  const entering = <Status extends ActiveTrip['status']>(status: Status) => ({
    status,
    timerAtMs: timerAtMsOf(status, atMs, policy),
  });
  const end: EndedTrip['end'] = { by: action.by.actor, reason };
  switch (action.kind) {
    case 'offer':
      return {
        ...base,
        ...entering('offered'),
        offeredDriverIds: [...trip.offeredDriverIds, action.driver.id],
        offer: { driver: action.driver, expiresAtMs: atMs + policy.offerTimeoutMs },
      };
    case 'accept': {
      const { rider, driver } = action.averageRatings;
      return {
        ...base,
        ...entering('assigned'),
        driver: { ...requireOffer(trip).driver, profile: { name: action.name, rating: driver } },
        riderProfile: { ...trip.riderProfile, rating: rider },
      };
    }
    case 'decline':
    case 'lapse':
      return { ...base, ...entering('requested') };
    case 'reassign':
      return {
        ...base,
        ...entering('requested'),
        // The search for another driver may take as long as the first search.
        searchUntilMs: atMs + policy.searchTimeoutMs,
        fare: action.pickup === undefined ? trip.fare : { ...trip.fare, pickup: action.pickup },
      };
    case 'arrive':
      return { ...base, ...entering('arrived'), driver: requireDriver(trip) };
    case 'start':
      return { ...base, ...entering('in_progress'), driver: requireDriver(trip) };
    case 'complete':
    case 'end_after_silence':
      return {
        ...base,
        status: 'completed',
        driver: requireDriver(trip),
        end,
        ratings: { byRider: null, byDriver: null },
      };
    case 'cancel':
      return { ...base, status: 'cancelled', driver: driverOf(trip), end };
    case 'give_up':
      return { ...base, status: 'unfulfilled', end };
  }
}

/** The fields of a trip that do not depend on its status. */
const baseOf = (trip: Trip): TripBase => ({
  id: trip.id,
  version: trip.version,
  riderId: trip.riderId,
  riderProfile: trip.riderProfile,
  offeredDriverIds: trip.offeredDriverIds,
  startCode: trip.startCode,
  wrongStartCodes: trip.wrongStartCodes,
  startBlockedUntilMs: trip.startBlockedUntilMs,
  searchUntilMs: trip.searchUntilMs,
  createdAtMs: trip.createdAtMs,
  updatedAtMs: trip.updatedAtMs,
  fare: trip.fare,
});

function requireOffer(trip: Trip): TripOffer {
  if (trip.status !== 'offered') throw new Error(`trip ${trip.id} is ${trip.status} and has no offer`);
  return trip.offer;
}

function requireDriver(trip: Trip): AssignedDriver {
  const driver = driverOf(trip);
  if (driver === null) throw new Error(`trip ${trip.id} is ${trip.status} and has no driver`);
  return driver;
}
