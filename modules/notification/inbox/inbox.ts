import type { EventId, PersonId } from '@contracts/ids.ts';
import type { FrameBody } from '../live/frames.ts';

export interface InboxEntry {
  seq: number;
  body: FrameBody;
}

export interface InboxPage {
  entries: InboxEntry[];
  /**
   * True if nothing is missing between `afterSeq` and the entries, also if there are none because nothing was
   * appended since. False, with no entries, if the inbox no longer holds that seq or never assigned it.
   */
  isComplete: boolean;
  /** The latest seq of the inbox. */
  lastSeq: number;
}

/**
 * The recent events of one person, in order. The seq rises by one with each event, without gaps. A new inbox
 * starts at its creation time in Unix milliseconds instead of 0: after a loss of the store, no seq that a client
 * remembers is assigned again (that would take 1,000 events a second), so a stale seq is always recognised. Every
 * call creates a missing inbox (hence `nowMs`), so the next seq is always one more than the latest.
 */
export interface PersonInbox {
  /**
   * Appending an event again returns its first seq. `instanceIds` are the instances with the person's presence
   * (`Fanout.addPresence`) at the moment of the append; one that is added later finds the event in the inbox.
   */
  append(
    personId: PersonId,
    event: { eventId: EventId; body: FrameBody },
    nowMs: number,
  ): Promise<{ seq: number; instanceIds: readonly string[] }>;
  /** Returns at most `limit` entries after `afterSeq`; 0 means from the start of the inbox. */
  read(personId: PersonId, afterSeq: number, limit: number, nowMs: number): Promise<InboxPage>;
  /** The latest seqs, in the order of `personIds`. */
  lastSeqs(personIds: readonly PersonId[], nowMs: number): Promise<number[]>;
  /** Writes and reads a probe; rejects if the store fails at either. */
  ping(): Promise<void>;
}

export interface InboxBounds {
  /** Maximum entries kept for one person. */
  lengthMax: number;
  /** How long the entries are kept after the last append. */
  entriesTtlMs: number;
}

/** The seq counter outlives the entries, so a client that returns after days sees a gap and not a new count. */
export const inboxStateTtlMs = 30 * 24 * 60 * 60 * 1000;
