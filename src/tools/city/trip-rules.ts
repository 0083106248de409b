import type { TripHistory, TripHistoryEntry, TripStatus } from '@contracts/trips.ts';
import type { Static } from '@sinclair/typebox';

type History = Static<typeof TripHistory>['items'];

const allowedTransitions: Record<TripStatus, readonly TripStatus[]> = {
  requested: ['offered', 'cancelled', 'unfulfilled'],
  offered: ['requested', 'assigned', 'cancelled'],
  // Back to `requested`: the driver was replaced, or an operator reassigned the trip.
  assigned: ['arrived', 'cancelled', 'requested'],
  arrived: ['in_progress', 'cancelled', 'requested'],
  in_progress: ['completed', 'cancelled', 'requested'],
  completed: [],
  cancelled: [],
  unfulfilled: [],
};

export const isFinalStatus = (status: TripStatus): boolean => allowedTransitions[status].length === 0;

/** Whether a driver is assigned to the trip and can not have another one. */
export const isActiveStatus = (status: TripStatus): boolean =>
  status === 'assigned' || status === 'arrived' || status === 'in_progress';

/**
 * Finds errors in the history of a trip that ended with `status` at `version`. The history must start with `requested`
 * at version 1, rise by one, contain only allowed transitions, and end like the trip. Empty if it is valid.
 */
export function findHistoryErrors(items: History, status: TripStatus, version: number): string[] {
  const errors: string[] = [];
  let previous: TripHistoryEntry | undefined;
  for (const entry of items) {
    errors.push(...findEntryErrors(previous, entry));
    previous = entry;
  }
  if (previous === undefined) return ['the history is empty'];
  if (previous.to !== status) errors.push(`the trip is ${status}, its history ends as ${previous.to}`);
  if (previous.version !== version)
    errors.push(`the trip has version ${version}, its history ends at ${previous.version}`);
  return errors;
}

function findEntryErrors(previous: TripHistoryEntry | undefined, entry: TripHistoryEntry): string[] {
  const transition = `version ${entry.version}: ${entry.from ?? 'nothing'} → ${entry.to}`;
  if (previous === undefined) {
    const isValidStart = entry.version === 1 && entry.from === null && entry.to === 'requested';
    return isValidStart ? [] : [`${transition} is not a valid first entry`];
  }
  const errors: string[] = [];
  if (entry.version !== previous.version + 1)
    errors.push(`${transition} follows version ${previous.version}`);
  if (entry.from !== previous.to) errors.push(`${transition} follows ${previous.to}`);
  if (!allowedTransitions[previous.to].includes(entry.to)) errors.push(`${transition} is not allowed`);
  if (Date.parse(entry.at) < Date.parse(previous.at))
    errors.push(`${transition} is older than the step before`);
  return errors;
}

export interface Interval {
  fromMs: number;
  toMs: number;
}

/** From the last assignment to the end; undefined if nobody was assigned. */
export function assignedInterval(items: History): Interval | undefined {
  const assigned = items.findLast((entry) => entry.to === 'assigned');
  const last = items.at(-1);
  if (assigned === undefined || last === undefined) return undefined;
  return { fromMs: Date.parse(assigned.at), toMs: Date.parse(last.at) };
}

/** The overlap in milliseconds; 0 if the intervals only touch. */
export const overlapMs = (a: Interval, b: Interval): number =>
  Math.max(0, Math.min(a.toMs, b.toMs) - Math.max(a.fromMs, b.fromMs));
