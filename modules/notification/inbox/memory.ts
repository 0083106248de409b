import type { EventId, PersonId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { MemoryFanoutHub } from '../fanout/memory.ts';
import { type InboxBounds, type InboxEntry, inboxStateTtlMs, type PersonInbox } from './inbox.ts';

interface Inbox {
  /** The seq before the first event. */
  baseSeq: number;
  lastSeq: number;
  entries: InboxEntry[];
  seqByEvent: Map<EventId, number>;
  entriesExpireAtMs: number;
  expiresAtMs: number;
}

// Far more people than one process on a laptop or a simulation serves.
const inboxesMax = 100_000;

export interface MemoryInboxDeps extends InboxBounds {
  clock: Clock;
  /** Knows which instances hold which person. */
  hub: MemoryFanoutHub;
}

/** Inboxes within one process. Entries expire by `clock`. */
export function createMemoryInbox({ clock, hub, lengthMax, entriesTtlMs }: MemoryInboxDeps): PersonInbox {
  const inboxes = new Map<PersonId, Inbox>();

  return {
    async append(personId, { eventId, body }, nowMs) {
      const inbox = openInbox(personId, nowMs);
      const instanceIds = hub.instancesOf(personId);
      const existingSeq = inbox.seqByEvent.get(eventId);
      if (existingSeq !== undefined) return { seq: existingSeq, instanceIds };
      const seq = ++inbox.lastSeq;
      inbox.entries.push({ seq, body });
      inbox.seqByEvent.set(eventId, seq);
      inbox.entriesExpireAtMs = clock.nowMs() + entriesTtlMs;
      if (inbox.entries.length > lengthMax) {
        inbox.entries.shift();
        // The map is in insertion order, so its first key belongs to the removed entry.
        const [oldest] = inbox.seqByEvent.keys();
        if (oldest !== undefined) inbox.seqByEvent.delete(oldest);
      }
      return { seq, instanceIds };
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
    // Inserted again, so that the first key of the map is the least recently used inbox.
    inboxes.delete(personId);
    inboxes.set(personId, inbox);
    if (inboxes.size > inboxesMax) {
      const [leastRecentlyUsed] = inboxes.keys();
      if (leastRecentlyUsed !== undefined) inboxes.delete(leastRecentlyUsed);
    }
    return inbox;
  }
}
