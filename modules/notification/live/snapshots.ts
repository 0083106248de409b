import type { PersonId } from '@contracts/ids.ts';
import type { ResumeSnapshot } from '@contracts/realtime.ts';
import { activeTripsPeopleMax, type Trip } from '@contracts/trips.ts';
import { createBatcher } from '@platform/batcher.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { problem } from '@platform/problems.ts';
import { withTimeout } from '@platform/with-timeout.ts';
import type { ActiveTrips } from '../ports.ts';
import { createWindowCounter } from './window-counter.ts';

export interface SnapshotsDeps {
  trips: ActiveTrips;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/**
 * What a person needs to carry on with, not older than the call. Never rejects: undefined when it could
 * not be had within `snapshotTimeoutMs` and `snapshotQueueTimeoutMs` together, in which the person's live events wait.
 */
export type ReadSnapshot = (personId: PersonId) => Promise<ResumeSnapshot | undefined>;

export const snapshotTimeoutMs = 1_000;
export const snapshotQueueTimeoutMs = 1_000;
/** Questions under way at once. */
export const snapshotCallsMax = 4;
// More than one instance has connections.
const peopleMax = 20_000;

/**
 * After a loss of the inboxes everybody connected asks at once. Their questions go together, up to 200
 * people in one, few at a time: an instance with 18,000 connections asks 90 times.
 */
export function createSnapshotReader({ trips, clock, log, metrics }: SnapshotsDeps): ReadSnapshot {
  const failures = createWindowCounter(1_000);
  const tripOf = createBatcher<PersonId, Trip | null>({
    clock,
    keyOf: (personId) => personId,
    batchMax: activeTripsPeopleMax,
    inFlightBatchesMax: snapshotCallsMax,
    pendingCallsMax: peopleMax,
    waitMsMax: snapshotQueueTimeoutMs,
    createOverloadError: () =>
      problem('service.unavailable', { detail: 'too many people ask for their trips' }),
    async runBatch(people) {
      const found = await withTimeout(clock, snapshotTimeoutMs, trips.findByPeople(people));
      if (found === 'late') throw new Error(`no answer within ${snapshotTimeoutMs} ms`);
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
      if (failures.increment(clock.nowMs()) === 1)
        log.warn({ err: error }, 'no trips for those who lost events');
      return undefined;
    }
  };
}
