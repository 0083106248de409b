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
 * Reads the state that a client needs in order to continue, not older than the call. Never rejects: it resolves to
 * undefined after `snapshotTimeoutMs` plus `snapshotQueueTimeoutMs` at the latest. The person's events wait meanwhile.
 */
export type ReadSnapshot = (personId: PersonId) => Promise<ResumeSnapshot | undefined>;

export const snapshotTimeoutMs = 1_000;
export const snapshotQueueTimeoutMs = 1_000;
/** Maximum calls in flight. */
export const snapshotCallsMax = 4;
// More than the connections of one instance.
const peopleMax = 20_000;

/**
 * After a loss of the inboxes every connection needs a snapshot at once. Requests are grouped, up to 200 people per
 * call and few calls at a time, so an instance with 18,000 connections makes 90 calls.
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
    createOverloadError: () => problem('service.unavailable', { detail: 'too many snapshots are requested' }),
    async runBatch(people) {
      const found = await withTimeout(clock, snapshotTimeoutMs, trips.findByPeople(people));
      if (found === 'late') throw new Error(`no response within ${snapshotTimeoutMs} ms`);
      const tripByPerson = new Map(found.map(({ personId, trip }) => [personId, trip]));
      return people.map((personId) => tripByPerson.get(personId) ?? null);
    },
  });

  return async (personId) => {
    try {
      return { trip: await tripOf(personId) };
    } catch (error) {
      metrics.count('notification_snapshots_missed_total');
      // One log line per second stands for all failures in it.
      if (failures.increment(clock.nowMs()) === 1) log.warn({ err: error }, 'failed to read snapshots');
      return undefined;
    }
  };
}
