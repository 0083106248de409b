import { closeCodes } from '@contracts/realtime.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { FrameErrorCode } from '../errors.ts';
import type { PersonInbox } from '../inbox/inbox.ts';
import type { TicketClaims } from '../tickets/tickets.ts';
import { encodeEventFrame, encodeFrame } from './frames.ts';
import type { Peer } from './peer.ts';
import type { ReadSnapshot } from './snapshots.ts';
import { createWindowCounter, type WindowCounter } from './window-counter.ts';

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
  readonly claims: TicketClaims;
  /** Events up to `lastSeq` are the past: told only to a client that resumes. */
  welcome(lastSeq: number): void;
  /** A pushed event, as the text of its frame. */
  push(seq: number, text: string): void;
  /** The inbox is known to hold events up to `seq`. */
  catchUpTo(seq: number): void;
  resume(afterSeq: number): void;
  acknowledge(seq: number): void;
  /** An error frame for something that the client did wrong; a connection that gets too many is closed. */
  rejectFrame(code: FrameErrorCode): void;
  /** A frame that is worth something now or never: not for a reader that is behind. */
  sendTransient(text: string): void;
  /** An error frame for something that went wrong. */
  sendError(code: string): void;
  /** The peer gave a sign of life. */
  onActivity(): void;
  onDrain(): void;
  /** Pings (if `ping`), or ends a connection that is dead, too slow, or past its session. */
  heartbeat(nowMs: number, ping: boolean): void;
  close(code: number, reason: string): void;
  /** The socket is gone. */
  onClosed(): void;
}

export interface ConnectionBounds {
  queueBytesMax: number;
  slowReaderMs: number;
  peerGoneMs: number;
  errorsPerMinuteMax: number;
}

/** What all connections of an instance share. */
export interface ConnectionDeps {
  inbox: PersonInbox;
  snapshots: ReadSnapshot;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  bounds: ConnectionBounds;
}

/** How long events wait for a client that may want to resume: a round trip or two on a mobile network. */
export const resumeWaitMs = 200;
/** Entries read from the inbox at once. */
export const pageEntriesMax = 100;

export const createConnection = (plane: ConnectionDeps, holder: TicketClaims, peer: Peer): Connection =>
  new LiveConnection(plane, holder, peer);

/**
 * A class, since there are tens of thousands at once and most of them idle: with a closure for each
 * method a connection took 6.8 KB of the process, this way 2.0 KB (a bare socket of Bun: 1.6 KB). Twelve fields
 * are 112 bytes, one more would be 160.
 */
class LiveConnection implements Connection {
  private phase: 'opening' | 'holding' | 'live' | 'closed' = 'opening';
  /** The last seq sent, or where the client said it was. */
  private cursor = 0;
  /** The newest seq that the inbox is known to hold. */
  private newest = 0;
  /** The highest seq that this person was ever told, as far as this connection knows. */
  private told = 0;
  /** Where the client wants to go on from, until the first page for it was read; then sent, until its end is told. */
  private replay: number | 'sent' | undefined;
  private reading = false;
  private slowSinceMs: number | undefined;
  private heardAtMs: number;
  private errors: WindowCounter | undefined;

  constructor(
    private readonly plane: ConnectionDeps,
    readonly claims: TicketClaims,
    private readonly peer: Peer,
  ) {
    this.heardAtMs = plane.clock.nowMs();
  }

  welcome(lastSeq: number): void {
    if (this.phase !== 'opening') return;
    this.cursor = lastSeq;
    this.told = lastSeq;
    this.phase = 'holding';
    this.send(encodeFrame({ type: 'welcome', lastSeq }));
    if (this.replay === undefined) void this.plane.clock.sleep(resumeWaitMs).then(() => this.goLive());
    else this.goLive();
  }

  push(seq: number, text: string): void {
    if (this.phase === 'live' && !this.reading && this.slowSinceMs === undefined && seq === this.cursor + 1)
      this.sendEvent(seq, text);
    else this.catchUpTo(seq);
  }

  resume(afterSeq: number) {
    if (this.replay !== undefined) return this.rejectFrame('realtime.resume_under_way');
    this.replay = afterSeq;
    if (this.phase === 'holding') this.goLive();
    else void this.catchUp();
  }

  acknowledge(seq: number): void {
    if (seq > this.told) this.rejectFrame('realtime.ack_unsent');
  }

  onActivity(): void {
    this.heardAtMs = this.plane.clock.nowMs();
  }

  onDrain(): void {
    this.onActivity();
    if (this.slowSinceMs === undefined || this.isFull()) return;
    this.slowSinceMs = undefined;
    void this.catchUp();
  }

  heartbeat(nowMs: number, ping: boolean): void {
    const { peerGoneMs, slowReaderMs } = this.plane.bounds;
    const gone = nowMs - this.heardAtMs > peerGoneMs;
    if (nowMs >= this.claims.sessionExpiresAtMs)
      this.close(closeCodes.sessionExpired, 'the session has expired');
    else if (this.slowSinceMs !== undefined && (gone || nowMs - this.slowSinceMs > slowReaderMs)) this.cut();
    else if (gone) this.peer.terminate();
    else if (ping) this.peer.ping();
  }

  onClosed(): void {
    this.phase = 'closed';
  }

  private goLive(): void {
    if (this.phase !== 'holding') return;
    this.phase = 'live';
    void this.catchUp();
  }

  catchUpTo(seq: number): void {
    this.newest = Math.max(this.newest, seq);
    if (this.behind()) void this.catchUp();
  }

  private behind(): boolean {
    return (
      this.phase === 'live' &&
      this.slowSinceMs === undefined &&
      (this.newest > this.cursor || this.replay !== undefined)
    );
  }

  private async catchUp(): Promise<void> {
    if (this.reading) return;
    this.reading = true;
    try {
      while (this.behind()) await this.readPage();
    } catch (error) {
      // Nothing is lost by it: the next push, check or drain comes back to what is owed.
      const { personId } = this.claims;
      this.plane.log.warn({ personId, err: error }, 'a live connection can not read its inbox');
      this.giveUpResume();
    } finally {
      this.reading = false;
    }
  }

  private giveUpResume(): void {
    // A slow reader can't be told now; its resume goes on when it has read on.
    if (this.slowSinceMs !== undefined || this.replay === undefined) return;
    this.replay = undefined;
    this.sendError('service.unavailable');
  }

  private async readPage(): Promise<void> {
    const from = this.nextAfter();
    // What was pushed before now is in the inbox before now, so the page tells of it. When it does not,
    // the inbox was lost since, and waiting for that seq would be for ever.
    this.newest = 0;
    const page = await this.plane.inbox.read(
      this.claims.personId,
      from,
      pageEntriesMax,
      this.plane.clock.nowMs(),
    );
    this.newest = Math.max(this.newest, page.lastSeq);
    if (this.phase !== 'live' || from !== this.nextAfter()) return;
    if (this.replay !== undefined) this.replay = 'sent';
    if (!page.isComplete) return await this.lost(page.lastSeq);
    this.cursor = from;
    for (const { seq, body } of page.entries) {
      this.sendEvent(seq, encodeEventFrame(seq, body));
      if (this.phase !== 'live' || this.slowSinceMs !== undefined) return;
    }
    if (page.entries.length === 0) this.cursor = page.lastSeq;
    if (this.replay !== undefined && this.cursor >= page.lastSeq) {
      this.replay = undefined;
      this.send(encodeFrame({ type: 'resumed', recovered: true, lastSeq: this.cursor }));
    }
  }

  private nextAfter(): number {
    return typeof this.replay === 'number' ? this.replay : this.cursor;
  }

  /**
   * The window has passed the client, or the store was lost: it goes on from `lastSeq`, with a snapshot
   * that is not older. This is within the reading loop, so what comes meanwhile waits in the inbox.
   */
  private async lost(lastSeq: number): Promise<void> {
    const snapshot = await this.plane.snapshots(this.claims.personId);
    // A resume that came meanwhile says anew where to go on.
    if (this.phase !== 'live' || typeof this.replay === 'number') return;
    this.plane.metrics.count('notification_unrecovered_total', { asked: String(this.replay !== undefined) });
    this.cursor = lastSeq;
    this.told = Math.max(this.told, lastSeq);
    this.replay = undefined;
    this.send(encodeFrame({ type: 'resumed', recovered: false, lastSeq, ...(snapshot && { snapshot }) }));
  }

  private sendEvent(seq: number, text: string): void {
    if (!this.send(text)) return;
    this.cursor = seq;
    if (seq > this.told) this.told = seq;
  }

  /** False when the frame was dropped; the connection is then being closed. */
  private send(text: string): boolean {
    const sent = this.peer.send(text);
    if (sent === 0) {
      this.cut();
      return false;
    }
    if (sent < 0 && this.slowSinceMs === undefined && this.isFull())
      this.slowSinceMs = this.plane.clock.nowMs();
    return true;
  }

  private isFull(): boolean {
    return this.peer.getBufferedAmount() > this.plane.bounds.queueBytesMax;
  }

  rejectFrame(code: FrameErrorCode): void {
    this.plane.metrics.count('notification_frames_refused_total', { code });
    this.errors ??= createWindowCounter(60_000);
    if (this.errors.increment(this.plane.clock.nowMs()) > this.plane.bounds.errorsPerMinuteMax)
      this.close(closeCodes.policyViolation, 'too many refused frames');
    else this.sendError(code);
  }

  sendError(code: string): void {
    this.sendTransient(encodeFrame({ type: 'error', code }));
  }

  sendTransient(text: string): void {
    // For a reader that is behind it would be late, and make it slower.
    if ((this.phase === 'live' || this.phase === 'holding') && this.slowSinceMs === undefined)
      this.send(text);
  }

  private cut(): void {
    this.plane.metrics.count('notification_slow_readers_total');
    this.close(closeCodes.tryAgainLater, 'too slow; resume later');
  }

  close(code: number, reason: string): void {
    if (this.phase === 'closed') return;
    this.phase = 'closed';
    this.peer.close(code, reason);
  }
}
