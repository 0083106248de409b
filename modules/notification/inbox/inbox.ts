import type { EventId, PersonId } from '@contracts/ids.ts';
import type { FrameBody } from '../live/frames.ts';

export interface InboxEntry {
  seq: number;
  body: FrameBody;
}

export interface InboxPage {
  entries: InboxEntry[];
  /**
   * True when nothing is missing between the seq asked after and the entries (also when there are
   * none because nothing came since). False, with no entries: the window has passed that seq, or the
   * inbox never gave it out.
   */
  isComplete: boolean;
  /** The newest seq of the inbox. */
  lastSeq: number;
}

/**
 * What a person was told lately, in order. The seq rises by one with each event, without a gap. A new
 * inbox starts at the Unix milliseconds of its making instead of 0: when the store was lost, no seq
 * that a client remembers is ever given out again (an inbox would need 1,000 events a second for
 * that), so a stale seq is always seen as one. Every call makes the inbox where there
 * is none (hence `nowMs`), so that the next seq is always one more than the newest that was told.
 */
export interface PersonInbox {
  /**
   * An event that the inbox holds already gives its first seq. `holders` are the instances that hold the
   * person (`Fanout.hold`) at the very moment of the append: one that comes later finds the event here.
   */
  append(
    personId: PersonId,
    event: { eventId: EventId; body: FrameBody },
    nowMs: number,
  ): Promise<{ seq: number; holders: readonly string[] }>;
  /** At most `limit` entries after `afterSeq`; 0 asks for all that the inbox ever had. */
  read(personId: PersonId, afterSeq: number, limit: number, nowMs: number): Promise<InboxPage>;
  /** The newest seqs, in the order asked. */
  lastSeqs(personIds: readonly PersonId[], nowMs: number): Promise<number[]>;
  /** Writes and reads; rejects while the store can't do both. */
  ping(): Promise<void>;
}

export interface InboxBounds {
  /** Entries kept for a person. */
  lengthMax: number;
  /** How long the entries are kept after the last one came. */
  entriesTtlMs: number;
}

/** The seq counter outlives the entries: who was away for days then learns it by a gap, not by a new count. */
export const inboxStateTtlMs = 30 * 24 * 60 * 60 * 1000;
