import type { TripHistory, TripHistoryEntry, TripStatus } from '@contracts/trips.ts';
import type { Static } from '@sinclair/typebox';

type History = Static<typeof TripHistory>['items'];

const legal: Record<TripStatus, readonly TripStatus[]> = {
  requested: ['offered', 'cancelled', 'unfulfilled'],
  offered: ['requested', 'assigned', 'cancelled'],
  // Back to `requested`: the driver was replaced, or an operator handed the trip over.
  assigned: ['arrived', 'cancelled', 'requested'],
  arrived: ['in_progress', 'cancelled', 'requested'],
  in_progress: ['completed', 'cancelled', 'requested'],
  completed: [],
  cancelled: [],
  unfulfilled: [],
};

export const isFinalStatus = (status: TripStatus): boolean => legal[status].length === 0;

/** A driver is bound to the trip and to no other. */
export const isActiveStatus = (status: TripStatus): boolean =>
  status === 'assigned' || status === 'arrived' || status === 'in_progress';

/**
 * What is wrong with the history of a trip that ended as `status` at `version`: it must begin as
 * `requested` at version 1, rise by one, go from state to state as the rules allow, and end where the
 * trip ended. Empty when all is well.
 */
export function findHistoryErrors(items: History, status: TripStatus, version: number): string[] {
  const faults: string[] = [];
  let previous: TripHistoryEntry | undefined;
  for (const entry of items) {
    faults.push(...stepFaults(previous, entry));
    previous = entry;
  }
  if (previous === undefined) return ['the history is empty'];
  if (previous.to !== status) faults.push(`the trip is ${status}, its history ends as ${previous.to}`);
  if (previous.version !== version)
    faults.push(`the trip has version ${version}, its history ends at ${previous.version}`);
  return faults;
}

function stepFaults(previous: TripHistoryEntry | undefined, entry: TripHistoryEntry): string[] {
  const step = `version ${entry.version}: ${entry.from ?? 'nothing'} → ${entry.to}`;
  if (previous === undefined) {
    const begins = entry.version === 1 && entry.from === null && entry.to === 'requested';
    return begins ? [] : [`${step} is no beginning`];
  }
  const faults: string[] = [];
  if (entry.version !== previous.version + 1) faults.push(`${step} follows version ${previous.version}`);
  if (entry.from !== previous.to) faults.push(`${step} follows ${previous.to}`);
  if (!legal[previous.to].includes(entry.to)) faults.push(`${step} is not allowed`);
  if (Date.parse(entry.at) < Date.parse(previous.at)) faults.push(`${step} is older than the step before`);
  return faults;
}

export interface Interval {
  fromMs: number;
  toMs: number;
}

/** From the last assignment to the end; undefined when nobody was assigned. */
export function assignedInterval(items: History): Interval | undefined {
  const assigned = items.findLast((entry) => entry.to === 'assigned');
  const last = items.at(-1);
  if (assigned === undefined || last === undefined) return undefined;
  return { fromMs: Date.parse(assigned.at), toMs: Date.parse(last.at) };
}

/** Overlap in milliseconds; 0 when they only touch. */
export const overlapMs = (a: Interval, b: Interval): number =>
  Math.max(0, Math.min(a.toMs, b.toMs) - Math.max(a.fromMs, b.fromMs));
