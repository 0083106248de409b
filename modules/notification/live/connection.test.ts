import { describe, expect, test } from 'bun:test';
import type { ServerFrame } from '@contracts/realtime.ts';
import fc from 'fast-check';
import { runPending, seqsOf, createTestConnection as setUp, typesOf } from '../testing/live-connection.ts';
import { resumeWaitMs } from './connection.ts';

describe('a live connection', () => {
  test('is welcomed with the latest seq and receives the events after it', async () => {
    const setup = setUp();
    const { seq: before } = await setup.append();
    const { connection, peer } = await setup.open();
    expect(peer.takeFrames()).toEqual([{ type: 'welcome', lastSeq: before }]);
    await setup.clock.advance(resumeWaitMs);
    const { seq, text } = await setup.append();
    connection.push(seq, text);
    expect(peer.takeFrames()).toMatchObject([{ type: 'event', seq: before + 1, event: 'trip.offered' }]);
  });

  test('receives events that arrive right after the welcome once the wait for a resume is over', async () => {
    const setup = setUp();
    const { connection, peer } = await setup.open();
    const { seq, text } = await setup.append();
    connection.push(seq, text);
    expect(typesOf(peer.takeFrames())).toEqual(['welcome']);
    await setup.clock.advance(resumeWaitMs);
    await setup.releaseReads();
    expect(seqsOf(peer.takeFrames())).toEqual([seq]);
  });

  test('that resumes at once receives each event once, whatever is pushed in the meantime', async () => {
    const setup = setUp();
    const after = await setup.lastSeq();
    await setup.append();
    await setup.append();
    const { connection, peer } = await setup.open();
    const third = await setup.append();
    connection.push(third.seq, third.text);
    connection.resume(after);
    const fourth = await setup.append();
    connection.push(fourth.seq, fourth.text);
    await setup.releaseReads();
    const fifth = await setup.append();
    connection.push(fifth.seq, fifth.text);
    expect(seqsOf(peer.frames)).toEqual([1, 2, 3, 4, 5].map((n) => after + n));
    expect(peer.frames.filter(({ type }) => type === 'resumed')).toEqual([
      { type: 'resumed', recovered: true, lastSeq: after + 4 },
    ]);
  });

  test('ignores a duplicate or late push', async () => {
    const setup = setUp();
    const { connection, peer } = await setup.open();
    await setup.clock.advance(resumeWaitMs);
    const first = await setup.append();
    connection.push(first.seq, first.text);
    connection.push(first.seq, first.text);
    connection.push(first.seq - 1, first.text);
    await setup.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([first.seq]);
  });

  test('fills a gap from the inbox, in order', async () => {
    const setup = setUp();
    const { connection, peer } = await setup.open();
    await setup.clock.advance(resumeWaitMs);
    const lost = await setup.append();
    const next = await setup.append();
    connection.push(next.seq, next.text);
    await setup.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([lost.seq, next.seq]);
    expect(typesOf(peer.frames)).not.toContain('resumed');
  });

  test('fills a gap of many pages without another push', async () => {
    const setup = setUp(500);
    const { connection, peer } = await setup.open();
    await setup.clock.advance(resumeWaitMs);
    const after = await setup.lastSeq();
    for (let n = 1; n < 450; n++) await setup.append();
    const { seq, text } = await setup.append();
    connection.push(seq, text);
    await setup.releaseReads();
    expect(seqsOf(peer.frames)).toEqual(Array.from({ length: 450 }, (_, n) => after + n + 1));
  });

  test('that resumes while a gap is being filled continues from the seq of the resume', async () => {
    const setup = setUp();
    const after = await setup.lastSeq();
    await setup.append();
    const { connection, peer } = await setup.open();
    await setup.clock.advance(resumeWaitMs);
    await setup.append();
    const { seq, text } = await setup.append();
    connection.push(seq, text);
    connection.resume(after);
    await setup.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([1, 2, 3].map((n) => after + n));
  });

  test('that resumes from 0 receives everything in the inbox, even if it is empty', async () => {
    const setup = setUp();
    const lastSeq = await setup.lastSeq();
    const { connection, peer } = await setup.open();
    peer.takeFrames();
    connection.resume(0);
    await setup.releaseReads();
    expect(peer.takeFrames()).toEqual([{ type: 'resumed', recovered: true, lastSeq }]);
    const { seq, text } = await setup.append();
    connection.push(seq, text);
    connection.resume(0);
    await setup.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([seq, seq]);
  });

  test('receives `recovered: false` when the inbox has dropped the seq, and continues after the latest', async () => {
    const setup = setUp();
    const after = await setup.lastSeq();
    for (let n = 0; n < 9; n++) await setup.append();
    const { connection, peer } = await setup.open();
    connection.resume(after);
    await setup.releaseReads();
    const lastSeq = await setup.lastSeq();
    expect(peer.takeFrames().slice(1)).toMatchObject([{ type: 'resumed', recovered: false, lastSeq }]);
    const next = await setup.append();
    connection.push(next.seq, next.text);
    expect(seqsOf(peer.frames)).toEqual([lastSeq + 1]);
  });

  test('receives `recovered: false` for a seq that was never assigned, and continues after the latest', async () => {
    const setup = setUp();
    const { seq: lastSeq } = await setup.append();
    const { connection, peer } = await setup.open();
    connection.resume(lastSeq + 10);
    await setup.releaseReads();
    expect(peer.takeFrames().slice(1)).toMatchObject([{ type: 'resumed', recovered: false, lastSeq }]);
    const next = await setup.append();
    connection.push(next.seq, next.text);
    expect(seqsOf(peer.frames)).toEqual([lastSeq + 1]);
  });

  test('receives `recovered: false` unasked when the store was lost, and then all later events', async () => {
    const setup = setUp();
    await setup.append();
    const { connection, peer } = await setup.open();
    await setup.clock.advance(resumeWaitMs);
    await setup.loseStore();
    const first = await setup.append();
    connection.push(first.seq, first.text);
    await setup.releaseReads();
    expect(peer.takeFrames().slice(1)).toMatchObject([
      { type: 'resumed', recovered: false, lastSeq: first.seq },
    ]);
    const next = await setup.append();
    connection.push(next.seq, next.text);
    expect(seqsOf(peer.frames)).toEqual([first.seq + 1]);
  });

  test('may resume repeatedly, one resume at a time', async () => {
    const setup = setUp();
    const after = await setup.lastSeq();
    const { seq: last } = await setup.append();
    const { connection, peer } = await setup.open();
    for (let n = 0; n < 3; n++) {
      peer.takeFrames();
      connection.resume(after);
      connection.resume(after);
      await setup.releaseReads();
      expect(peer.takeFrames()).toMatchObject([
        { type: 'error', code: 'realtime.resume_under_way' },
        { type: 'event', seq: last },
        { type: 'resumed', recovered: true, lastSeq: last },
      ]);
    }
  });

  test('receives an error when the inbox can not be read, keeps its seq, and may resume later', async () => {
    const setup = setUp();
    const after = await setup.lastSeq();
    const { seq: last } = await setup.append();
    const { connection, peer } = await setup.open();
    peer.takeFrames();
    connection.resume(after);
    setup.gates.splice(0)[0]?.reject(new Error('unavailable'));
    await runPending();
    expect(peer.takeFrames()).toEqual([{ type: 'error', code: 'service.unavailable' }]);
    const next = await setup.append();
    connection.push(next.seq, next.text);
    expect(seqsOf(peer.takeFrames())).toEqual([next.seq]);
    connection.resume(after);
    await setup.releaseReads();
    expect(seqsOf(peer.takeFrames())).toEqual([last, next.seq]);
  });

  test('may acknowledge what it was sent and nothing else', async () => {
    const setup = setUp();
    const { seq } = await setup.append();
    const { connection, peer } = await setup.open();
    peer.takeFrames();
    connection.acknowledge(seq);
    connection.acknowledge(0);
    expect(peer.takeFrames()).toEqual([]);
    connection.acknowledge(seq + 1);
    expect(peer.takeFrames()).toEqual([{ type: 'error', code: 'realtime.ack_unsent' }]);
  });

  test('is closed with 1008 after too many invalid frames in one minute, but not after few in each minute', async () => {
    const setup = setUp();
    const { connection, peer } = await setup.open();
    for (let n = 0; n < 9; n++) {
      connection.rejectFrame('realtime.frame_invalid');
      await setup.clock.advance(21_000);
    }
    expect(peer.closeCode).toBeUndefined();
    for (let n = 0; n < 4; n++) connection.rejectFrame('realtime.frame_invalid');
    expect(peer.closeCode).toBe(1008);
  });

  test('that reads slowly leaves its events in the inbox and receives them once its buffer has drained', async () => {
    const setup = setUp();
    const { connection, peer } = await setup.open();
    await setup.clock.advance(resumeWaitMs);
    const after = await setup.lastSeq();
    peer.isSlow = true;
    for (let n = 0; n < 5; n++) {
      const { seq, text } = await setup.append();
      connection.push(seq, text);
    }
    await setup.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([after + 1]);
    connection.onDrain();
    expect(seqsOf(peer.frames)).toEqual([after + 1]);
    peer.isSlow = false;
    connection.onDrain();
    peer.isSlow = true;
    await setup.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([after + 1, after + 2]);
    peer.isSlow = false;
    connection.onDrain();
    await setup.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([1, 2, 3, 4, 5].map((n) => after + n));
  });

  test('that blocks its events for too long is closed with 1013', async () => {
    const setup = setUp();
    const { connection, peer } = await setup.open();
    await setup.clock.advance(resumeWaitMs);
    peer.isSlow = true;
    const { seq, text } = await setup.append();
    connection.push(seq, text);
    for (let n = 0; n < 10; n++) {
      await setup.clock.advance(1_000);
      connection.onActivity();
      connection.heartbeat(setup.clock.nowMs(), true);
    }
    expect(peer.closeCode).toBeUndefined();
    await setup.clock.advance(1_000);
    connection.heartbeat(setup.clock.nowMs(), true);
    expect(peer.closeCode).toBe(1013);
  });

  test('whose frame was dropped is closed with 1013 and receives nothing after the gap', async () => {
    const setup = setUp();
    const { connection, peer } = await setup.open();
    await setup.clock.advance(resumeWaitMs);
    peer.isFull = true;
    const lost = await setup.append();
    connection.push(lost.seq, lost.text);
    expect(peer.closeCode).toBe(1013);
    const next = await setup.append();
    connection.push(next.seq, next.text);
    await setup.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([]);
  });

  test('is pinged while it answers and terminated when it does not', async () => {
    const setup = setUp();
    const { connection, peer } = await setup.open();
    await setup.clock.advance(6_000);
    connection.heartbeat(setup.clock.nowMs(), true);
    connection.onActivity();
    await setup.clock.advance(6_000);
    connection.heartbeat(setup.clock.nowMs(), false);
    expect([peer.pings, peer.closeCode]).toEqual([1, undefined]);
    await setup.clock.advance(1_001);
    connection.heartbeat(setup.clock.nowMs(), true);
    expect([peer.pings, peer.closeCode]).toEqual([1, 'terminated']);
  });

  test('is closed with 4401 when its login session expires', async () => {
    const setup = setUp();
    const { connection, peer } = await setup.open();
    await setup.clock.advance(899_999);
    connection.onActivity();
    connection.heartbeat(setup.clock.nowMs(), true);
    expect(peer.closeCode).toBeUndefined();
    await setup.clock.advance(1);
    connection.heartbeat(setup.clock.nowMs(), true);
    expect(peer.closeCode).toBe(4401);
  });
});

const step = fc.oneof(
  { weight: 6, arbitrary: fc.constant({ kind: 'append' } as const) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('push' as const), which: fc.nat(20), again: fc.boolean() }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('let' as const), which: fc.nat(20) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('resume' as const), back: fc.integer({ min: -3, max: 12 }) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'cut' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'check' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'hold over' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'outage' } as const) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('slow' as const), slow: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'store lost' } as const) },
);

/** A client that fails at the first frame that violates the protocol. */
function createStrictClient(textBySeq: Map<number, string>) {
  let position = 0;
  let resumedFrom: number | undefined;
  /** The number of the event with this seq; 0 if there is none. */
  const n = (seq: number): number => JSON.parse(textBySeq.get(seq) ?? '{"data":{"n":0}}').data.n;
  return {
    get position() {
      return position;
    },
    askedFor(after: number) {
      resumedFrom ??= after;
    },
    take(frame: ServerFrame) {
      switch (frame.type) {
        case 'welcome':
          position = frame.lastSeq;
          return;
        case 'error':
          if (frame.code === 'service.unavailable') resumedFrom = undefined;
          return;
        case 'resumed':
          if (frame.recovered) expect(frame.lastSeq).toBe(resumedFrom ?? position);
          // Not older than any event that will not be sent.
          if (frame.snapshot) expect(frame.snapshot.trip?.version).toBeGreaterThanOrEqual(n(frame.lastSeq));
          position = frame.lastSeq;
          resumedFrom = undefined;
          return;
        case 'event': {
          expect(frame.seq).toBe((resumedFrom ?? position) + 1);
          expect(JSON.stringify(frame)).toBe(textBySeq.get(frame.seq) ?? 'never appended');
          position = frame.seq;
          // The replay has started: from here on its events are the stream.
          if (resumedFrom !== undefined) resumedFrom = position;
        }
      }
    },
  };
}

test('over any interleaving of events, lost and duplicate pushes, resumes, disconnects, outages and losses, a client gets every seq in order or `recovered: false`', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
      const setup = setUp();
      const textBySeq = new Map<number, string>();
      const pushes: { seq: number; text: string }[] = [];
      const connect = async () => {
        const client = createStrictClient(textBySeq);
        const { connection, peer } = await setup.open();
        for (const frame of peer.frames) client.take(frame);
        peer.onFrame = (frame) => client.take(frame);
        return { client, connection, peer };
      };
      let live = await connect();

      for (const one of steps) {
        switch (one.kind) {
          case 'append': {
            const pushed = await setup.append();
            textBySeq.set(pushed.seq, pushed.text);
            pushes.push(pushed);
            break;
          }
          case 'push': {
            const index = one.which % Math.max(1, pushes.length);
            const pushed = one.again ? pushes[index] : pushes.splice(index, 1)[0];
            if (pushed !== undefined) live.connection.push(pushed.seq, pushed.text);
            break;
          }
          case 'let':
            setup.gates.splice(one.which % Math.max(1, setup.gates.length), 1)[0]?.resolve();
            break;
          case 'resume': {
            const after = live.client.position - one.back;
            live.client.askedFor(after);
            live.connection.resume(after);
            break;
          }
          case 'cut': {
            const { position } = live.client;
            live.connection.onClosed();
            live = await connect();
            live.client.askedFor(position);
            live.connection.resume(position);
            break;
          }
          case 'check':
            live.connection.catchUpTo(await setup.lastSeq());
            break;
          case 'hold over':
            await setup.clock.advance(resumeWaitMs);
            break;
          case 'outage':
            for (const waiting of setup.gates.splice(0)) waiting.reject(new Error('unavailable'));
            break;
          case 'slow':
            live.peer.isSlow = one.slow;
            live.connection.onDrain();
            break;
          case 'store lost':
            pushes.splice(0);
            await setup.loseStore();
        }
        await runPending();
        if (live.peer.closeCode !== undefined) live = await connect();
      }

      live.peer.isSlow = false;
      live.connection.onDrain();
      await setup.clock.advance(resumeWaitMs);
      await setup.releaseReads();
      live.connection.catchUpTo(await setup.lastSeq());
      await setup.releaseReads();
      expect(live.client.position).toBe(await setup.lastSeq());
    }),
    { numRuns: 400 },
  );
}, 60_000);
