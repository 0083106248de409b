import { describe, expect, test } from 'bun:test';
import type { ServerFrame } from '@contracts/realtime.ts';
import fc from 'fast-check';
import { runPending, seqsOf, createTestConnection as setUp, typesOf } from '../testing/live-connection.ts';
import { resumeWaitMs } from './connection.ts';

describe('a live connection', () => {
  test('is welcomed with the latest seq and receives the events after it', async () => {
    const world = setUp();
    const { seq: before } = await world.append();
    const { connection, peer } = await world.open();
    expect(peer.takeFrames()).toEqual([{ type: 'welcome', lastSeq: before }]);
    await world.clock.advance(resumeWaitMs);
    const { seq, text } = await world.append();
    connection.push(seq, text);
    expect(peer.takeFrames()).toMatchObject([{ type: 'event', seq: before + 1, event: 'trip.offered' }]);
  });

  test('receives events that arrive right after the welcome once the wait for a resume is over', async () => {
    const world = setUp();
    const { connection, peer } = await world.open();
    const { seq, text } = await world.append();
    connection.push(seq, text);
    expect(typesOf(peer.takeFrames())).toEqual(['welcome']);
    await world.clock.advance(resumeWaitMs);
    await world.releaseReads();
    expect(seqsOf(peer.takeFrames())).toEqual([seq]);
  });

  test('that resumes at once receives each event once, whatever is pushed in the meantime', async () => {
    const world = setUp();
    const after = await world.lastSeq();
    await world.append();
    await world.append();
    const { connection, peer } = await world.open();
    const third = await world.append();
    connection.push(third.seq, third.text);
    connection.resume(after);
    const fourth = await world.append();
    connection.push(fourth.seq, fourth.text);
    await world.releaseReads();
    const fifth = await world.append();
    connection.push(fifth.seq, fifth.text);
    expect(seqsOf(peer.frames)).toEqual([1, 2, 3, 4, 5].map((n) => after + n));
    expect(peer.frames.filter(({ type }) => type === 'resumed')).toEqual([
      { type: 'resumed', recovered: true, lastSeq: after + 4 },
    ]);
  });

  test('ignores a duplicate or late push', async () => {
    const world = setUp();
    const { connection, peer } = await world.open();
    await world.clock.advance(resumeWaitMs);
    const first = await world.append();
    connection.push(first.seq, first.text);
    connection.push(first.seq, first.text);
    connection.push(first.seq - 1, first.text);
    await world.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([first.seq]);
  });

  test('fills a gap from the inbox, in order', async () => {
    const world = setUp();
    const { connection, peer } = await world.open();
    await world.clock.advance(resumeWaitMs);
    const lost = await world.append();
    const next = await world.append();
    connection.push(next.seq, next.text);
    await world.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([lost.seq, next.seq]);
    expect(typesOf(peer.frames)).not.toContain('resumed');
  });

  test('fills a gap of many pages without another push', async () => {
    const world = setUp(500);
    const { connection, peer } = await world.open();
    await world.clock.advance(resumeWaitMs);
    const after = await world.lastSeq();
    for (let n = 1; n < 450; n++) await world.append();
    const { seq, text } = await world.append();
    connection.push(seq, text);
    await world.releaseReads();
    expect(seqsOf(peer.frames)).toEqual(Array.from({ length: 450 }, (_, n) => after + n + 1));
  });

  test('that resumes while a gap is being filled continues from the seq of the resume', async () => {
    const world = setUp();
    const after = await world.lastSeq();
    await world.append();
    const { connection, peer } = await world.open();
    await world.clock.advance(resumeWaitMs);
    await world.append();
    const { seq, text } = await world.append();
    connection.push(seq, text);
    connection.resume(after);
    await world.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([1, 2, 3].map((n) => after + n));
  });

  test('that resumes from 0 receives everything in the inbox, even if it is empty', async () => {
    const world = setUp();
    const lastSeq = await world.lastSeq();
    const { connection, peer } = await world.open();
    peer.takeFrames();
    connection.resume(0);
    await world.releaseReads();
    expect(peer.takeFrames()).toEqual([{ type: 'resumed', recovered: true, lastSeq }]);
    const { seq, text } = await world.append();
    connection.push(seq, text);
    connection.resume(0);
    await world.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([seq, seq]);
  });

  test('receives `recovered: false` when the inbox has dropped the seq, and continues after the latest', async () => {
    const world = setUp();
    const after = await world.lastSeq();
    for (let n = 0; n < 9; n++) await world.append();
    const { connection, peer } = await world.open();
    connection.resume(after);
    await world.releaseReads();
    const lastSeq = await world.lastSeq();
    expect(peer.takeFrames().slice(1)).toMatchObject([{ type: 'resumed', recovered: false, lastSeq }]);
    const next = await world.append();
    connection.push(next.seq, next.text);
    expect(seqsOf(peer.frames)).toEqual([lastSeq + 1]);
  });

  test('receives `recovered: false` for a seq that was never assigned, and continues after the latest', async () => {
    const world = setUp();
    const { seq: lastSeq } = await world.append();
    const { connection, peer } = await world.open();
    connection.resume(lastSeq + 10);
    await world.releaseReads();
    expect(peer.takeFrames().slice(1)).toMatchObject([{ type: 'resumed', recovered: false, lastSeq }]);
    const next = await world.append();
    connection.push(next.seq, next.text);
    expect(seqsOf(peer.frames)).toEqual([lastSeq + 1]);
  });

  test('receives `recovered: false` unasked when the store was lost, and then all later events', async () => {
    const world = setUp();
    await world.append();
    const { connection, peer } = await world.open();
    await world.clock.advance(resumeWaitMs);
    await world.loseStore();
    const first = await world.append();
    connection.push(first.seq, first.text);
    await world.releaseReads();
    expect(peer.takeFrames().slice(1)).toMatchObject([
      { type: 'resumed', recovered: false, lastSeq: first.seq },
    ]);
    const next = await world.append();
    connection.push(next.seq, next.text);
    expect(seqsOf(peer.frames)).toEqual([first.seq + 1]);
  });

  test('may resume repeatedly, one resume at a time', async () => {
    const world = setUp();
    const after = await world.lastSeq();
    const { seq: last } = await world.append();
    const { connection, peer } = await world.open();
    for (let n = 0; n < 3; n++) {
      peer.takeFrames();
      connection.resume(after);
      connection.resume(after);
      await world.releaseReads();
      expect(peer.takeFrames()).toMatchObject([
        { type: 'error', code: 'realtime.resume_under_way' },
        { type: 'event', seq: last },
        { type: 'resumed', recovered: true, lastSeq: last },
      ]);
    }
  });

  test('receives an error when the inbox can not be read, keeps its seq, and may resume later', async () => {
    const world = setUp();
    const after = await world.lastSeq();
    const { seq: last } = await world.append();
    const { connection, peer } = await world.open();
    peer.takeFrames();
    connection.resume(after);
    world.gates.splice(0)[0]?.reject(new Error('away'));
    await runPending();
    expect(peer.takeFrames()).toEqual([{ type: 'error', code: 'service.unavailable' }]);
    const next = await world.append();
    connection.push(next.seq, next.text);
    expect(seqsOf(peer.takeFrames())).toEqual([next.seq]);
    connection.resume(after);
    await world.releaseReads();
    expect(seqsOf(peer.takeFrames())).toEqual([last, next.seq]);
  });

  test('may acknowledge what it was sent and nothing else', async () => {
    const world = setUp();
    const { seq } = await world.append();
    const { connection, peer } = await world.open();
    peer.takeFrames();
    connection.acknowledge(seq);
    connection.acknowledge(0);
    expect(peer.takeFrames()).toEqual([]);
    connection.acknowledge(seq + 1);
    expect(peer.takeFrames()).toEqual([{ type: 'error', code: 'realtime.ack_unsent' }]);
  });

  test('is closed with 1008 after too many invalid frames in one minute, but not after few in each minute', async () => {
    const world = setUp();
    const { connection, peer } = await world.open();
    for (let n = 0; n < 9; n++) {
      connection.rejectFrame('realtime.frame_invalid');
      await world.clock.advance(21_000);
    }
    expect(peer.closeCode).toBeUndefined();
    for (let n = 0; n < 4; n++) connection.rejectFrame('realtime.frame_invalid');
    expect(peer.closeCode).toBe(1008);
  });

  test('that reads slowly leaves its events in the inbox and receives them once its buffer has drained', async () => {
    const world = setUp();
    const { connection, peer } = await world.open();
    await world.clock.advance(resumeWaitMs);
    const after = await world.lastSeq();
    peer.isSlow = true;
    for (let n = 0; n < 5; n++) {
      const { seq, text } = await world.append();
      connection.push(seq, text);
    }
    await world.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([after + 1]);
    connection.onDrain();
    expect(seqsOf(peer.frames)).toEqual([after + 1]);
    peer.isSlow = false;
    connection.onDrain();
    peer.isSlow = true;
    await world.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([after + 1, after + 2]);
    peer.isSlow = false;
    connection.onDrain();
    await world.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([1, 2, 3, 4, 5].map((n) => after + n));
  });

  test('that blocks its events for too long is closed with 1013', async () => {
    const world = setUp();
    const { connection, peer } = await world.open();
    await world.clock.advance(resumeWaitMs);
    peer.isSlow = true;
    const { seq, text } = await world.append();
    connection.push(seq, text);
    for (let n = 0; n < 10; n++) {
      await world.clock.advance(1_000);
      connection.onActivity();
      connection.heartbeat(world.clock.nowMs(), true);
    }
    expect(peer.closeCode).toBeUndefined();
    await world.clock.advance(1_000);
    connection.heartbeat(world.clock.nowMs(), true);
    expect(peer.closeCode).toBe(1013);
  });

  test('whose frame was dropped is closed with 1013 and receives nothing after the gap', async () => {
    const world = setUp();
    const { connection, peer } = await world.open();
    await world.clock.advance(resumeWaitMs);
    peer.isFull = true;
    const lost = await world.append();
    connection.push(lost.seq, lost.text);
    expect(peer.closeCode).toBe(1013);
    const next = await world.append();
    connection.push(next.seq, next.text);
    await world.releaseReads();
    expect(seqsOf(peer.frames)).toEqual([]);
  });

  test('is pinged while it answers and terminated when it does not', async () => {
    const world = setUp();
    const { connection, peer } = await world.open();
    await world.clock.advance(6_000);
    connection.heartbeat(world.clock.nowMs(), true);
    connection.onActivity();
    await world.clock.advance(6_000);
    connection.heartbeat(world.clock.nowMs(), false);
    expect([peer.pings, peer.closeCode]).toEqual([1, undefined]);
    await world.clock.advance(1_001);
    connection.heartbeat(world.clock.nowMs(), true);
    expect([peer.pings, peer.closeCode]).toEqual([1, 'terminated']);
  });

  test('is closed with 4401 when its login session expires', async () => {
    const world = setUp();
    const { connection, peer } = await world.open();
    await world.clock.advance(899_999);
    connection.onActivity();
    connection.heartbeat(world.clock.nowMs(), true);
    expect(peer.closeCode).toBeUndefined();
    await world.clock.advance(1);
    connection.heartbeat(world.clock.nowMs(), true);
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

/** A client that fails as soon as the frames of the server are not what the contract says. */
function createStrictClient(textBySeq: Map<number, string>) {
  let at = 0;
  let asked: number | undefined;
  /** Which of all events has that seq; 0 when it is none. */
  const n = (seq: number): number => JSON.parse(textBySeq.get(seq) ?? '{"data":{"n":0}}').data.n;
  return {
    get at() {
      return at;
    },
    askedFor(after: number) {
      asked ??= after;
    },
    take(frame: ServerFrame) {
      switch (frame.type) {
        case 'welcome':
          at = frame.lastSeq;
          return;
        case 'error':
          if (frame.code === 'service.unavailable') asked = undefined;
          return;
        case 'resumed':
          if (frame.recovered) expect(frame.lastSeq).toBe(asked ?? at);
          // Not older than any event that will not come any more.
          if (frame.snapshot) expect(frame.snapshot.trip?.version).toBeGreaterThanOrEqual(n(frame.lastSeq));
          at = frame.lastSeq;
          asked = undefined;
          return;
        case 'event': {
          expect(frame.seq).toBe((asked ?? at) + 1);
          expect(JSON.stringify(frame)).toBe(textBySeq.get(frame.seq) ?? 'never appended');
          at = frame.seq;
          // The replay has begun: from here on it is the stream.
          if (asked !== undefined) asked = at;
        }
      }
    },
  };
}

test('over any interleaving of events, lost and duplicate pushes, resumes, disconnects, outages and losses, a client gets every seq in order or `recovered: false`', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
      const world = setUp();
      const textBySeq = new Map<number, string>();
      const pushes: { seq: number; text: string }[] = [];
      const connect = async () => {
        const client = createStrictClient(textBySeq);
        const { connection, peer } = await world.open();
        for (const frame of peer.frames) client.take(frame);
        peer.onFrame = (frame) => client.take(frame);
        return { client, connection, peer };
      };
      let live = await connect();

      for (const one of steps) {
        switch (one.kind) {
          case 'append': {
            const pushed = await world.append();
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
            world.gates.splice(one.which % Math.max(1, world.gates.length), 1)[0]?.resolve();
            break;
          case 'resume': {
            const after = live.client.at - one.back;
            live.client.askedFor(after);
            live.connection.resume(after);
            break;
          }
          case 'cut': {
            const { at } = live.client;
            live.connection.onClosed();
            live = await connect();
            live.client.askedFor(at);
            live.connection.resume(at);
            break;
          }
          case 'check':
            live.connection.catchUpTo(await world.lastSeq());
            break;
          case 'hold over':
            await world.clock.advance(resumeWaitMs);
            break;
          case 'outage':
            for (const waiting of world.gates.splice(0)) waiting.reject(new Error('away'));
            break;
          case 'slow':
            live.peer.isSlow = one.slow;
            live.connection.onDrain();
            break;
          case 'store lost':
            pushes.splice(0);
            await world.loseStore();
        }
        await runPending();
        if (live.peer.closeCode !== undefined) live = await connect();
      }

      live.peer.isSlow = false;
      live.connection.onDrain();
      await world.clock.advance(resumeWaitMs);
      await world.releaseReads();
      live.connection.catchUpTo(await world.lastSeq());
      await world.releaseReads();
      expect(live.client.at).toBe(await world.lastSeq());
    }),
    { numRuns: 400 },
  );
}, 60_000);
