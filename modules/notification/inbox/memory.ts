import type { EventId, PersonId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { MemoryFanoutHub } from '../fanout/memory.ts';
import { type InboxBounds, type InboxEntry, inboxStateTtlMs, type PersonInbox } from './inbox.ts';

interface Inbox {
  /** The seq before the first one. */
  baseSeq: number;
  lastSeq: number;
  entries: InboxEntry[];
  seqByEvent: Map<EventId, number>;
  entriesExpireAtMs: number;
  expiresAtMs: number;
}

// Far more people than one process of a laptop or a simulation serves.
const inboxesMax = 100_000;

export interface MemoryInboxDeps extends InboxBounds {
  clock: Clock;
  /** Knows who holds whom. */
  hub: MemoryFanoutHub;
}

/** Inboxes within one process; expiry goes by `clock`. */
export function createMemoryInbox({ clock, hub, lengthMax, entriesTtlMs }: MemoryInboxDeps): PersonInbox {
  const inboxes = new Map<PersonId, Inbox>();

  return {
    async append(personId, { eventId, body }, nowMs) {
      const inbox = openInbox(personId, nowMs);
      const holders = hub.instancesOf(personId);
      const known = inbox.seqByEvent.get(eventId);
      if (known !== undefined) return { seq: known, holders };
      const seq = ++inbox.lastSeq;
      inbox.entries.push({ seq, body });
      inbox.seqByEvent.set(eventId, seq);
      inbox.entriesExpireAtMs = clock.nowMs() + entriesTtlMs;
      if (inbox.entries.length > lengthMax) {
        inbox.entries.shift();
        // In the order of insertion, so the first is the one whose entry went.
        const [oldest] = inbox.seqByEvent.keys();
        if (oldest !== undefined) inbox.seqByEvent.delete(oldest);
      }
      return { seq, holders };
    },

    async read(personId, afterSeq, limit, nowMs) {
      const { baseSeq, lastSeq, entries: kept } = openInbox(personId, nowMs);
      const after = afterSeq === 0 ? baseSeq : afterSeq;
      const firstSeq = kept[0]?.seq ?? lastSeq + 1;
      if (after < firstSeq - 1 || after > lastSeq) return { entries: [], isComplete: false, lastSeq };
      const from = after + 1 - firstSeq;
      return { entries: kept.slice(from, from + limit), isComplete: true, lastSeq };
    },

    lastSeqs: async (personIds, nowMs) => personIds.map((personId) => openInbox(personId, nowMs).lastSeq),
    ping: async () => {},
  };

  function find(personId: PersonId): Inbox | undefined {
    const inbox = inboxes.get(personId);
    if (inbox === undefined) return undefined;
    if (inbox.expiresAtMs <= clock.nowMs()) {
      inboxes.delete(personId);
      return undefined;
    }
    if (inbox.entriesExpireAtMs <= clock.nowMs()) {
      inbox.entries = [];
      inbox.seqByEvent.clear();
    }
    return inbox;
  }

  function openInbox(personId: PersonId, nowMs: number): Inbox {
    const inbox = find(personId) ?? {
      baseSeq: nowMs,
      lastSeq: nowMs,
      entries: [],
      seqByEvent: new Map(),
      entriesExpireAtMs: 0,
      expiresAtMs: 0,
    };
    inbox.expiresAtMs = clock.nowMs() + Math.max(inboxStateTtlMs, entriesTtlMs);
    // Inserted anew, so that the map's first is the one that was quiet for longest.
    inboxes.delete(personId);
    inboxes.set(personId, inbox);
    if (inboxes.size > inboxesMax) {
      const [quietest] = inboxes.keys();
      if (quietest !== undefined) inboxes.delete(quietest);
    }
    return inbox;
  }
}
