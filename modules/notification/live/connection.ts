import { closeCodes } from '@contracts/realtime.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { FrameErrorCode } from '../errors.ts';
import { eventFrameText, frameText } from '../frames.ts';
import type { PersonInbox } from '../inbox/inbox.ts';
import type { TicketHolder } from '../tickets/tickets.ts';
import { createMeter } from './meter.ts';

/**
 * One live connection as a state machine:
 *
 *   opening ──welcome──▶ holding ──resume, or holdMs──▶ live ──▶ closed
 *
 * The connection owes its client every event after `cursor`, the last seq it sent. A pushed event
 * that is the next one goes straight to the socket. Anything else (a gap, a resume, events that came
 * while holding, a slow reader that has caught its breath) only says that the inbox holds more, and
 * one reading loop at a time sends that, in order. So nothing is buffered here, a push may be lost,
 * doubled or late, and a slow reader costs its socket's queue and no more.
 *
 * Why `holding`: a client that comes back resumes as soon as it is welcomed. Were events sent in
 * between, the replay would bring them again.
 */
export interface Connection {
  readonly holder: TicketHolder;
  /** Events up to `lastSeq` are the past: told only to a client that resumes. */
  welcome(lastSeq: number): void;
  /** A pushed event, as the text of its frame. */
  push(seq: number, text: string): void;
  /** The inbox is known to hold events up to `seq`. */
  owe(seq: number): void;
  resume(afterSeq: number): void;
  acknowledge(seq: number): void;
  /** An error frame for something that the client did wrong; a connection that gets too many is closed. */
  refuse(code: FrameErrorCode): void;
  /** An error frame for something that went wrong. */
  tell(code: string): void;
  /** The peer gave a sign of life. */
  heard(): void;
  drained(): void;
  /** Pings (if `ping`), or ends a connection that is dead, too slow, or past its session. */
  beat(nowMs: number, ping: boolean): void;
  close(code: number, reason: string): void;
  /** The socket is gone. */
  closed(): void;
}

/** The socket of a connection. */
export interface Peer {
  /** Above 0: sent. -1: waits in the peer's queue. 0: dropped. */
  send(text: string): number;
  queuedBytes(): number;
  ping(): void;
  close(code: number, reason: string): void;
  /** Ends it without a handshake: the peer does not answer. */
  terminate(): void;
}

export interface ConnectionBounds {
  queueBytesMax: number;
  slowReaderMs: number;
  peerGoneMs: number;
  errorsPerMinuteMax: number;
}

export interface ConnectionOptions extends ConnectionBounds {
  holder: TicketHolder;
  peer: Peer;
  inbox: PersonInbox;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/** How long events wait for a client that may want to resume: a round trip or two on a mobile network. */
export const holdMs = 200;
/** Entries read from the inbox at once. */
export const pageMax = 100;

export function createConnection(options: ConnectionOptions): Connection {
  const { holder, peer, inbox, clock, log, metrics } = options;
  const errors = createMeter(60_000);
  let phase: 'opening' | 'holding' | 'live' | 'closed' = 'opening';
  /** The last seq sent, or where the client said it was. */
  let cursor = 0;
  /** The newest seq that the inbox is known to hold. */
  let newest = 0;
  /** The highest seq that this person was ever told, as far as this connection knows. */
  let told = 0;
  /** Where the client wants to go on from; set until the first page for it was read. */
  let resumeAfter: number | undefined;
  /** A replay is under way whose end is to be told. */
  let resuming = false;
  let reading = false;
  let slowSinceMs: number | undefined;
  let heardAtMs = clock.nowMs();

  return {
    holder,

    welcome(lastSeq) {
      if (phase !== 'opening') return;
      cursor = lastSeq;
      told = lastSeq;
      phase = 'holding';
      send(frameText({ type: 'welcome', lastSeq }));
      if (resumeAfter === undefined) void clock.sleep(holdMs).then(goLive);
      else goLive();
    },

    push(seq, text) {
      if (phase === 'live' && !reading && slowSinceMs === undefined && seq === cursor + 1)
        sendEvent(seq, text);
      else owe(seq);
    },
    owe,

    resume(afterSeq) {
      if (resumeAfter !== undefined || resuming) return refuse('realtime.resume_under_way');
      resumeAfter = afterSeq;
      if (phase === 'holding') goLive();
      else void catchUp();
    },

    acknowledge(seq) {
      if (seq > told) refuse('realtime.ack_unsent');
    },

    refuse,
    tell,

    heard() {
      heardAtMs = clock.nowMs();
    },
    drained() {
      heardAtMs = clock.nowMs();
      if (slowSinceMs === undefined || peer.queuedBytes() > options.queueBytesMax) return;
      slowSinceMs = undefined;
      void catchUp();
    },

    beat(nowMs, ping) {
      const gone = nowMs - heardAtMs > options.peerGoneMs;
      if (nowMs >= holder.sessionExpiresAtMs) close(closeCodes.sessionExpired, 'the session has expired');
      else if (slowSinceMs !== undefined && (gone || nowMs - slowSinceMs > options.slowReaderMs)) cut();
      else if (gone) peer.terminate();
      else if (ping) peer.ping();
    },

    close,
    closed() {
      phase = 'closed';
    },
  };

  function goLive() {
    if (phase !== 'holding') return;
    phase = 'live';
    void catchUp();
  }

  function owe(seq: number) {
    newest = Math.max(newest, seq);
    if (behind()) void catchUp();
  }

  function behind(): boolean {
    return (
      phase === 'live' &&
      slowSinceMs === undefined &&
      (newest > cursor || resumeAfter !== undefined || resuming)
    );
  }

  async function catchUp(): Promise<void> {
    if (reading) return;
    reading = true;
    try {
      while (behind()) await readPage();
    } catch (error) {
      // Nothing is lost by it: the next push, check or drain comes back to what is owed.
      log.warn({ personId: holder.personId, err: error }, 'a live connection can not read its inbox');
      giveUpResume();
    } finally {
      reading = false;
    }
  }

  function giveUpResume() {
    // A slow reader can't be told now; its resume goes on when it has read on.
    if (slowSinceMs !== undefined || (resumeAfter === undefined && !resuming)) return;
    resumeAfter = undefined;
    resuming = false;
    tell('service.unavailable');
  }

  async function readPage(): Promise<void> {
    const from = resumeAfter ?? cursor;
    // What was pushed before now is in the inbox before now, so the page tells of it. When it does not,
    // the inbox was lost since, and waiting for that seq would be for ever.
    newest = 0;
    const page = await inbox.read(holder.personId, from, pageMax, clock.nowMs());
    newest = Math.max(newest, page.lastSeq);
    if (phase !== 'live' || from !== (resumeAfter ?? cursor)) return;
    if (resumeAfter !== undefined) {
      resumeAfter = undefined;
      resuming = true;
    }
    if (!page.complete) return lost(page.lastSeq);
    cursor = from;
    for (const { seq, body } of page.entries) {
      sendEvent(seq, eventFrameText(seq, body));
      if (phase !== 'live' || slowSinceMs !== undefined) return;
    }
    if (page.entries.length === 0) cursor = page.lastSeq;
    if (resuming && cursor >= page.lastSeq) {
      resuming = false;
      send(frameText({ type: 'resumed', recovered: true, lastSeq: cursor }));
    }
  }

  /** The window has passed the client, or the store was lost: it reads the state anew and goes on from here. */
  function lost(lastSeq: number) {
    metrics.count('notification_unrecovered_total', { asked: String(resuming) });
    cursor = lastSeq;
    resuming = false;
    send(frameText({ type: 'resumed', recovered: false, lastSeq }));
  }

  function sendEvent(seq: number, text: string) {
    if (!send(text)) return;
    cursor = seq;
    if (seq > told) told = seq;
  }

  /** False when the frame was dropped; the connection is then being closed. */
  function send(text: string): boolean {
    const sent = peer.send(text);
    if (sent === 0) {
      cut();
      return false;
    }
    if (sent < 0 && slowSinceMs === undefined && peer.queuedBytes() > options.queueBytesMax)
      slowSinceMs = clock.nowMs();
    return true;
  }

  function refuse(code: FrameErrorCode) {
    metrics.count('notification_frames_refused_total', { code });
    if (errors.count(clock.nowMs()) > options.errorsPerMinuteMax)
      close(closeCodes.abused, 'too many refused frames');
    else tell(code);
  }

  function tell(code: string) {
    // A reader that is behind hears of its errors never: they would only make it slower.
    if ((phase === 'live' || phase === 'holding') && slowSinceMs === undefined)
      send(frameText({ type: 'error', code }));
  }

  function cut() {
    metrics.count('notification_slow_readers_total');
    close(closeCodes.tryAgainLater, 'too slow; resume later');
  }

  function close(code: number, reason: string) {
    if (phase === 'closed') return;
    phase = 'closed';
    peer.close(code, reason);
  }
}
