import type { EventId } from '@contracts/ids.ts';
import type { ServerFrame } from '@contracts/realtime.ts';
import { createManualClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { sampleTrip } from '@testing/events.ts';
import { createMemoryFanoutHub } from '../fanout/memory.ts';
import type { PersonInbox } from '../inbox/inbox.ts';
import { createMemoryInbox } from '../inbox/memory.ts';
import { type Connection, createConnection } from '../live/connection.ts';
import { encodeEventFrame, encodeFrameBody } from '../live/frames.ts';
import type { Peer } from '../live/peer.ts';
import { newPerson } from './harness.ts';

const startMs = 1_763_800_000_000;
/** Runs all callbacks that are already due. */
export const runPending = () => new Promise<void>((resolve) => setImmediate(resolve));

/**
 * Creates connections over a peer that only records. Reads of the inbox and of snapshots block before and after they
 * run, until `releaseReads` is called. Snapshots show a trip whose version is the number of appended events.
 */
export function createTestConnection(lengthMax = 8) {
  const clock = createManualClock(startMs);
  const personId = newPerson();
  const bounds = { queueBytesMax: 1_000, slowReaderMs: 10_000, peerGoneMs: 7_000, errorsPerMinuteMax: 3 };
  const createStore = () =>
    createMemoryInbox({ clock, hub: createMemoryFanoutHub(), lengthMax, entriesTtlMs: 3_600_000 });
  let store = createStore();
  let events = 0;
  const gates: PromiseWithResolvers<void>[] = [];
  const gate = () => {
    const waiting = Promise.withResolvers<void>();
    gates.push(waiting);
    return waiting.promise;
  };
  const inbox: PersonInbox = {
    append: (...args) => store.append(...args),
    async read(person, after, limit) {
      await gate();
      const page = await store.read(person, after, limit, clock.nowMs());
      await gate();
      return page;
    },
    lastSeqs: (...args) => store.lastSeqs(...args),
    ping: async () => {},
  };
  async function snapshots() {
    try {
      await gate();
      const snapshot = { trip: sampleTrip(events) };
      await gate();
      return snapshot;
    } catch {
      return undefined;
    }
  }

  return {
    clock,
    gates,
    async open(): Promise<{ connection: Connection; peer: RecordingPeer }> {
      const peer = createRecordingPeer();
      const deps = { inbox, snapshots, clock, log: createLog('silent'), metrics: createMetrics(), bounds };
      const claims = {
        personId,
        role: 'rider' as const,
        sessionId: 's',
        sessionExpiresAtMs: startMs + 900_000,
      };
      const connection = createConnection(deps, claims, peer);
      peer.onClose = () => connection.onClosed();
      connection.welcome(await this.lastSeq());
      return { connection, peer };
    },
    async append() {
      const eventId = `event-${++events}` as EventId;
      const body = encodeFrameBody({ id: eventId, event: 'trip.offered', data: { n: events } });
      const { seq } = await store.append(personId, { eventId, body }, clock.nowMs());
      return { seq, text: encodeEventFrame(seq, body) };
    },
    async lastSeq() {
      const [seq = Number.NaN] = await store.lastSeqs([personId], clock.nowMs());
      return seq;
    },
    /** Replaces the store with an empty one. */
    async loseStore() {
      await clock.advance(1_000);
      store = createStore();
    },
    /** Releases all blocked reads, including those that they cause. */
    async releaseReads() {
      do {
        for (const waiting of gates.splice(0)) waiting.resolve();
        await runPending();
      } while (gates.length > 0);
    },
  };
}

export interface RecordingPeer extends Peer {
  frames: ServerFrame[];
  closeCode: number | 'terminated' | undefined;
  pings: number;
  /** Simulates a slow reader: sent frames stay in the socket buffer. */
  isSlow: boolean;
  isFull: boolean;
  onClose(): void;
  onFrame(frame: ServerFrame): void;
  takeFrames(): ServerFrame[];
}

function createRecordingPeer(): RecordingPeer {
  const peer: RecordingPeer = {
    frames: [],
    closeCode: undefined,
    pings: 0,
    isSlow: false,
    isFull: false,
    onClose: () => {},
    onFrame: () => {},
    takeFrames: () => peer.frames.splice(0),
    send(text) {
      if (peer.isFull || peer.closeCode !== undefined) return 0;
      const frame: ServerFrame = JSON.parse(text);
      peer.frames.push(frame);
      peer.onFrame(frame);
      return peer.isSlow ? -1 : text.length;
    },
    getBufferedAmount: () => (peer.isSlow ? 1_001 : 0),
    ping: () => void peer.pings++,
    close(code) {
      peer.closeCode = code;
      peer.onClose();
    },
    terminate() {
      peer.closeCode = 'terminated';
      peer.onClose();
    },
  };
  return peer;
}

export const seqsOf = (frames: readonly ServerFrame[]) =>
  frames.flatMap((frame) => (frame.type === 'event' ? [frame.seq] : []));
export const typesOf = (frames: readonly ServerFrame[]) => frames.map(({ type }) => type);
