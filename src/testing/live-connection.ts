import type { EventId } from '@contracts/ids.ts';
import type { ServerFrame } from '@contracts/realtime.ts';
import { createMemoryFanoutHub } from '@modules/notification/fanout/memory.ts';
import { eventFrameText, writeBody } from '@modules/notification/frames.ts';
import type { PersonInbox } from '@modules/notification/inbox/inbox.ts';
import { createMemoryInbox } from '@modules/notification/inbox/memory.ts';
import { type Connection, createConnection } from '@modules/notification/live/connection.ts';
import type { Peer } from '@modules/notification/live/peer.ts';
import { createManualClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { sampleTrip } from './events.ts';
import { newPerson } from './notification.ts';

const startMs = 1_763_800_000_000;
/** Lets everything run that can run now. */
export const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

/**
 * A connection over a peer that only records. Reads of the inbox and of snapshots wait until they are let
 * through, before and after they are made. Snapshots show a trip whose version is the count of all events.
 */
export function setUpConnection(lengthMax = 8) {
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
      const plane = { inbox, snapshots, clock, log: createLog('silent'), metrics: createMetrics(), bounds };
      const holder = {
        personId,
        role: 'rider' as const,
        sessionId: 's',
        sessionExpiresAtMs: startMs + 900_000,
      };
      const connection = createConnection(plane, holder, peer);
      peer.onClose = () => connection.closed();
      connection.welcome(await this.lastSeq());
      return { connection, peer };
    },
    async append() {
      const eventId = `event-${++events}` as EventId;
      const body = writeBody({ id: eventId, event: 'trip.offered', data: { n: events } });
      const { seq } = await store.append(personId, { eventId, body }, clock.nowMs());
      return { seq, text: eventFrameText(seq, body) };
    },
    async lastSeq() {
      const [seq = Number.NaN] = await store.lastSeqs([personId], clock.nowMs());
      return seq;
    },
    /** The store comes back empty. */
    async lose() {
      await clock.advance(1_000);
      store = createStore();
    },
    /** Lets every read through, also those that follow from them. */
    async letAll() {
      do {
        for (const waiting of gates.splice(0)) waiting.resolve();
        await settle();
      } while (gates.length > 0);
    },
  };
}

export interface RecordingPeer extends Peer {
  frames: ServerFrame[];
  closedWith: number | 'terminated' | undefined;
  pings: number;
  /** A slow reader: what is sent stays in the queue. */
  slow: boolean;
  full: boolean;
  onClose(): void;
  onFrame(frame: ServerFrame): void;
  take(): ServerFrame[];
}

function createRecordingPeer(): RecordingPeer {
  const peer: RecordingPeer = {
    frames: [],
    closedWith: undefined,
    pings: 0,
    slow: false,
    full: false,
    onClose: () => {},
    onFrame: () => {},
    take: () => peer.frames.splice(0),
    send(text) {
      if (peer.full || peer.closedWith !== undefined) return 0;
      const frame: ServerFrame = JSON.parse(text);
      peer.frames.push(frame);
      peer.onFrame(frame);
      return peer.slow ? -1 : text.length;
    },
    getBufferedAmount: () => (peer.slow ? 1_001 : 0),
    ping: () => void peer.pings++,
    close(code) {
      peer.closedWith = code;
      peer.onClose();
    },
    terminate() {
      peer.closedWith = 'terminated';
      peer.onClose();
    },
  };
  return peer;
}

export const seqsOf = (frames: readonly ServerFrame[]) =>
  frames.flatMap((frame) => (frame.type === 'event' ? [frame.seq] : []));
export const typesOf = (frames: readonly ServerFrame[]) => frames.map(({ type }) => type);
