import type { Candidate } from '@contracts/drivers.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { Trip } from '../trip.ts';
import { type CostEdge, matchAtMinCost } from './matching.ts';

/** A driver who could serve a trip, and their driving time to its pickup. */
export interface DispatchOption {
  candidate: Candidate;
  etaSeconds: number;
}

/** A waiting trip, and the drivers it can still be offered to. */
export interface TripSearch {
  trip: Trip;
  options: readonly DispatchOption[];
  /** Drivers who were options but became unavailable during this dispatch. */
  takenDriverIds: readonly DriverId[];
}

export interface DispatchChoice {
  search: TripSearch;
  option: DispatchOption;
}

/** Why this driver got the offer. Stored with each offer. */
export interface DispatchDecision {
  candidates: { driverId: DriverId; distanceMetres: number; etaSeconds: number }[];
  taken: readonly DriverId[];
  chosen: DriverId;
  /** Number of trips in this matching, including this one. */
  matchedTrips: number;
}

/**
 * Matches trips with drivers: as many trips as possible get a driver, with the least sum of driving times
 * to the pickups. A single trip gets the driver with the shortest time. Trips without a driver are left out.
 */
export function chooseDrivers(searches: readonly TripSearch[]): DispatchChoice[] {
  const columns = new Map<DriverId, number>();
  const columnOf = ({ candidate }: DispatchOption) => {
    const column = columns.get(candidate.driverId) ?? columns.size;
    columns.set(candidate.driverId, column);
    return column;
  };
  const edges = searches.map(({ options }) =>
    options.map((option): CostEdge => ({ column: columnOf(option), cost: option.etaSeconds })),
  );
  const matched = matchAtMinCost(edges);
  return searches.flatMap((search, row) => {
    const option = search.options.find((candidate) => columnOf(candidate) === matched[row]);
    return option === undefined ? [] : [{ search, option }];
  });
}

/** The search without these drivers, who have an offer or a trip now. */
export function excludeDrivers(
  { trip, options, takenDriverIds }: TripSearch,
  excluded: ReadonlySet<DriverId>,
): TripSearch {
  return {
    trip,
    options: options.filter(({ candidate }) => !excluded.has(candidate.driverId)),
    takenDriverIds: [
      ...takenDriverIds,
      ...options.map(({ candidate }) => candidate.driverId).filter((id) => excluded.has(id)),
    ],
  };
}

/** The decision to store with an offer. `considered` are all options of the search at its start. */
export function dispatchDecisionOf(
  considered: readonly DispatchOption[],
  { search, option }: DispatchChoice,
  matchedTrips: number,
): DispatchDecision {
  return {
    candidates: considered.map(({ candidate: { driverId, distanceMetres }, etaSeconds }) => ({
      driverId,
      distanceMetres: Math.round(distanceMetres),
      etaSeconds,
    })),
    taken: search.takenDriverIds,
    chosen: option.candidate.driverId,
    matchedTrips,
  };
}
