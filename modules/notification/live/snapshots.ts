import type { PersonId } from '@contracts/ids.ts';
import type { Snapshot } from '@contracts/realtime.ts';
import { activeTripsPeopleMax, type Trip } from '@contracts/trips.ts';
import type { Clock } from '@platform/clock.ts';
import { fault } from '@platform/faults.ts';
import { groupCalls } from '@platform/group-calls.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { within } from '@platform/within.ts';
import type { ActiveTrips } from '../ports.ts';
import { createMeter } from './meter.ts';

export interface SnapshotsOptions {
  trips: ActiveTrips;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/**
 * What a person needs to carry on with, not older than the call. Never rejects: undefined when it could
 * not be had within `answerMsMax` and `waitMsMax` together, in which the person's live events wait.
 */
export type Snapshots = (personId: PersonId) => Promise<Snapshot | undefined>;

export const answerMsMax = 1_000;
export const waitMsMax = 1_000;
/** Questions under way at once. */
export const questionsMax = 4;
// More than one instance has connections.
const peopleMax = 20_000;

/**
 * After a loss of the inboxes everybody connected asks at once. Their questions go together, up to 200
 * people in one, few at a time: an instance with 18,000 connections asks 90 times.
 */
export function createSnapshots({ trips, clock, log, metrics }: SnapshotsOptions): Snapshots {
  const failures = createMeter(1_000);
  const tripOf = groupCalls<PersonId, Trip | null>({
    clock,
    keyOf: (personId) => personId,
    groupMax: activeTripsPeopleMax,
    groupsMax: questionsMax,
    callsMax: peopleMax,
    waitMsMax,
    overloaded: () => fault('service.unavailable', { detail: 'too many people ask for their trips' }),
    async run(people) {
      const found = await within(clock, answerMsMax, trips.of(people));
      if (found === 'late') throw new Error(`no answer within ${answerMsMax} ms`);
      const tripByPerson = new Map(found.map(({ personId, trip }) => [personId, trip]));
      return people.map((personId) => tripByPerson.get(personId) ?? null);
    },
  });

  return async (personId) => {
    try {
      return { trip: await tripOf(personId) };
    } catch (error) {
      metrics.count('notification_snapshots_missed_total');
      // Of all that fail together one is told.
      if (failures.count(clock.nowMs()) === 1) log.warn({ err: error }, 'no trips for those who lost events');
      return undefined;
    }
  };
}
