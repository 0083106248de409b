import { describe, expect, test } from 'bun:test';
import type { PersonId } from '@contracts/ids.ts';
import { activeTripsPeopleMax } from '@contracts/trips.ts';
import { createManualClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { sampleTrip } from '@testing/events.ts';
import type { ActiveTrips } from '../ports.ts';
import { newPerson } from '../testing/harness.ts';
import { createTestConnection, runPending, seqsOf, typesOf } from '../testing/live-connection.ts';
import { resumeWaitMs } from './connection.ts';
import {
  createSnapshotReader,
  snapshotCallsMax,
  snapshotQueueTimeoutMs,
  snapshotTimeoutMs,
} from './snapshots.ts';

const clock = createManualClock(1_763_800_000_000);
const over = (trips: ActiveTrips) =>
  createSnapshotReader({ trips, clock, log: createLog('silent'), metrics: createMetrics() });

describe('a snapshot', () => {
  test('contains the active trip of the person, or null', async () => {
    const [busy, idle] = [newPerson(), newPerson()];
    const trip = sampleTrip();
    const snapshotOf = over({ findByPeople: async () => [{ personId: busy, trip }] });
    expect(await Promise.all([snapshotOf(busy), snapshotOf(idle)])).toEqual([{ trip }, { trip: null }]);
  });

  test('for each of 18,000 people is read in few calls, few at a time, and everyone gets their own', async () => {
    let underWay = 0;
    const most = { underWay: 0, people: 0, questions: 0 };
    const snapshotOf = over({
      async findByPeople(people) {
        most.questions++;
        most.underWay = Math.max(most.underWay, ++underWay);
        most.people = Math.max(most.people, people.length);
        await runPending();
        underWay--;
        return people.map((personId) => ({ personId, trip: { ...sampleTrip(), startCode: personId } }));
      },
    });
    const everyone = Array.from({ length: 18_000 }, newPerson);
    const snapshots = await Promise.all(everyone.map(snapshotOf));
    expect(snapshots.map((snapshot) => snapshot?.trip?.startCode)).toEqual(everyone.map(String));
    expect(most).toEqual({
      underWay: snapshotCallsMax,
      people: activeTripsPeopleMax,
      questions: everyone.length / activeTripsPeopleMax,
    });
  });

  test('is undefined at once when the trip service is unavailable', async () => {
    const snapshotOf = over({ findByPeople: () => Promise.reject(new Error('ECONNREFUSED')) });
    expect(await snapshotOf(newPerson())).toBeUndefined();
  });

  test('is undefined after two seconds when the trip service hangs, however many requests wait', async () => {
    const questions: (readonly PersonId[])[] = [];
    const snapshotOf = over({
      findByPeople(people) {
        questions.push(people);
        return new Promise(() => {});
      },
    });
    const waiting = Array.from({ length: 3_000 }, () => snapshotOf(newPerson()));
    await clock.advance(snapshotTimeoutMs + snapshotQueueTimeoutMs);
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([undefined]));
    expect(questions.length).toBeLessThanOrEqual(2 * snapshotCallsMax);
    // The timed-out requests were dropped, so the next one is sent immediately.
    const next = newPerson();
    void snapshotOf(next);
    await runPending();
    expect(questions.at(-1)).toEqual([next]);
  });
});

describe('a live connection that has lost events', () => {
  /** A connection that has received events up to `seq` and whose snapshot is being read. */
  async function loseStore() {
    const setup = createTestConnection();
    const { connection, peer } = await setup.open();
    await setup.clock.advance(resumeWaitMs);
    await setup.loseStore();
    const { seq, text } = await setup.append();
    connection.push(seq, text);
    setup.gates.shift()?.resolve();
    await runPending();
    setup.gates.shift()?.resolve();
    await runPending();
    peer.takeFrames();
    return { setup, connection, peer, seq };
  }

  test('receives the snapshot first and then each event that arrived while it was read, once', async () => {
    const { setup, connection, peer, seq } = await loseStore();
    const push = async () => {
      const next = await setup.append();
      connection.push(next.seq, next.text);
    };
    await push();
    setup.gates.shift()?.resolve();
    await runPending();
    await push();
    await push();
    expect(peer.takeFrames()).toEqual([]);
    await setup.releaseReads();
    await push();
    // The snapshot includes the first event that arrived in the meantime, but not the others.
    expect(peer.frames[0]).toMatchObject({
      type: 'resumed',
      recovered: false,
      lastSeq: seq,
      snapshot: { trip: { version: 2 } },
    });
    expect(seqsOf(peer.frames)).toEqual([1, 2, 3, 4].map((n) => seq + n));
    expect(typesOf(peer.frames)).toEqual(['resumed', 'event', 'event', 'event', 'event']);
  });

  test('continues without a snapshot when none can be read', async () => {
    const { setup, connection, peer, seq } = await loseStore();
    setup.gates.shift()?.reject(new Error('unavailable'));
    await runPending();
    expect(peer.takeFrames()).toEqual([{ type: 'resumed', recovered: false, lastSeq: seq }]);
    const next = await setup.append();
    connection.push(next.seq, next.text);
    expect(seqsOf(peer.takeFrames())).toEqual([next.seq]);
  });

  test('that resumes while its snapshot is read gets the answer to that resume and no other', async () => {
    const { setup, connection, peer, seq } = await loseStore();
    connection.resume(0);
    await setup.releaseReads();
    expect(peer.takeFrames()).toMatchObject([
      { type: 'event', seq },
      { type: 'resumed', recovered: true, lastSeq: seq },
    ]);
  });

  test('may acknowledge the seq of the snapshot', async () => {
    const { setup, connection, peer, seq } = await loseStore();
    await setup.releaseReads();
    peer.takeFrames();
    connection.acknowledge(seq);
    expect(peer.takeFrames()).toEqual([]);
  });

  test('receives nothing if it closed in the meantime', async () => {
    const { setup, connection, peer } = await loseStore();
    connection.onClosed();
    await setup.releaseReads();
    expect(peer.takeFrames()).toEqual([]);
  });
});
