import type { Candidate } from '@contracts/drivers.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { Trip } from '../trip.ts';
import { type CostEdge, matchAtMinCost } from './matching.ts';

/** A driver who could serve a trip, and how long they would drive to its pickup. */
export interface DispatchOption {
  candidate: Candidate;
  etaSeconds: number;
}

/** A trip that waits, and the drivers it may still ask. */
export interface TripSearch {
  trip: Trip;
  options: readonly DispatchOption[];
  /** Options that others got first. */
  takenDriverIds: readonly DriverId[];
}

export interface DispatchChoice {
  search: TripSearch;
  option: DispatchOption;
}

/** Why this driver was asked; kept for each offer. */
export interface DispatchDecision {
  candidates: { driverId: DriverId; distanceMetres: number; etaSeconds: number }[];
  taken: readonly DriverId[];
  chosen: DriverId;
  /** Trips that competed in this matching, this one included. */
  matchedTrips: number;
}

/**
 * Who asks whom: a driver for as many trips as possible, at the least sum of times to the pickups. For
 * one trip alone that is the nearest driver. Trips that get nobody are left out.
 */
export function chooseDrivers(searches: readonly TripSearch[]): DispatchChoice[] {
  const drivers = new Map<DriverId, number>();
  const column = ({ candidate }: DispatchOption) => {
    const known = drivers.get(candidate.driverId) ?? drivers.size;
    drivers.set(candidate.driverId, known);
    return known;
  };
  const edges = searches.map(({ options }) =>
    options.map((option): CostEdge => ({ column: column(option), cost: option.etaSeconds })),
  );
  const matched = matchAtMinCost(edges);
  return searches.flatMap((search, row) => {
    const option = search.options.find((one) => column(one) === matched[row]);
    return option === undefined ? [] : [{ search, option }];
  });
}

/** The search once these drivers are gone: they have an offer or a trip now. */
export function excludeDrivers(
  { trip, options, takenDriverIds }: TripSearch,
  gone: ReadonlySet<DriverId>,
): TripSearch {
  return {
    trip,
    options: options.filter(({ candidate }) => !gone.has(candidate.driverId)),
    takenDriverIds: [
      ...takenDriverIds,
      ...options.map(({ candidate }) => candidate.driverId).filter((id) => gone.has(id)),
    ],
  };
}

/** `considered` are all the options that the search began with. */
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
