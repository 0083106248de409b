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
 * One live connection, a state machine:
 *
 *   opening ──welcome──▶ holding ──resume, or holdMs──▶ live ──▶ closed
 *
 * The connection must deliver every event after `cursor`, the last seq it sent. A pushed event with the next seq
 * goes straight to the socket. Everything else (a gap, a resume, events that arrived while `holding`, a slow reader
 * that has drained its buffer) only means that the inbox has more events, and a single read loop sends those in
 * order. So nothing is buffered here: a push may be lost, duplicated or late, and a slow reader costs no more
 * memory than its socket buffer.
 *
 * `holding` exists because a reconnecting client sends `resume` right after the welcome. Events that were sent
 * before that resume would be replayed, so the client would see them twice.
 */
export interface Connection {
  readonly claims: TicketClaims;
  /** Sends the welcome. Events up to `lastSeq` are sent only to a client that resumes. */
  welcome(lastSeq: number): void;
  /** Handles a pushed event, given as the text of its frame. */
  push(seq: number, text: string): void;
  /** Sends what is missing up to `seq`, which the inbox is known to hold. */
  catchUpTo(seq: number): void;
  resume(afterSeq: number): void;
  acknowledge(seq: number): void;
  /** Answers an invalid frame with an error frame. A connection with too many invalid frames is closed. */
  rejectFrame(code: FrameErrorCode): void;
  /** Sends a frame that is only worth something now. Slow readers do not get it. */
  sendTransient(text: string): void;
  /** Sends an error frame. */
  sendError(code: string): void;
  /** The peer showed a sign of life. */
  onActivity(): void;
  onDrain(): void;
  /** Closes a connection that is dead, too slow or past its login session; otherwise pings the peer if `ping` is set. */
  heartbeat(nowMs: number, ping: boolean): void;
  close(code: number, reason: string): void;
  /** The socket was closed. */
  onClosed(): void;
}

export interface ConnectionBounds {
  queueBytesMax: number;
  slowReaderMs: number;
  peerGoneMs: number;
  errorsPerMinuteMax: number;
}

/** Collaborators that all connections of an instance share. */
export interface ConnectionDeps {
  inbox: PersonInbox;
  snapshots: ReadSnapshot;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  bounds: ConnectionBounds;
}

/** How long events wait for a client that may resume: one or two round trips on a mobile network. */
export const resumeWaitMs = 200;
/** Entries read from the inbox in one call. */
export const pageEntriesMax = 100;

export const createConnection = (deps: ConnectionDeps, claims: TicketClaims, peer: Peer): Connection =>
  new LiveConnection(deps, claims, peer);

/**
 * A class, because an instance has tens of thousands of mostly idle connections. With one closure per method a
 * connection used 6.8 KB of memory; with a class it uses 2.0 KB, of which Bun's socket is 1.6 KB. Twelve fields take
 * 112 bytes; a thirteenth would make it 160.
 */
class LiveConnection implements Connection {
  private phase: 'opening' | 'holding' | 'live' | 'closed' = 'opening';
  /** The last seq that was sent, or the one that the client resumed from. */
  private cursor = 0;
  /** The latest seq that the inbox is known to hold. */
  private latestSeq = 0;
  /** The highest seq that this connection has sent or announced; a client may acknowledge up to it. */
  private announcedSeq = 0;
  /** The seq to resume from until the first page is read, then `sent` until `resumed` was sent; undefined without a resume. */
  private replay: number | 'sent' | undefined;
  private isReading = false;
  private slowSinceMs: number | undefined;
  private lastSeenAtMs: number;
  private invalidFrames: WindowCounter | undefined;

  constructor(
    private readonly deps: ConnectionDeps,
    readonly claims: TicketClaims,
    private readonly peer: Peer,
  ) {
    this.lastSeenAtMs = deps.clock.nowMs();
  }

  welcome(lastSeq: number): void {
    if (this.phase !== 'opening') return;
    this.cursor = lastSeq;
    this.announcedSeq = lastSeq;
    this.phase = 'holding';
    this.send(encodeFrame({ type: 'welcome', lastSeq }));
    if (this.replay === undefined) void this.deps.clock.sleep(resumeWaitMs).then(() => this.goLive());
    else this.goLive();
  }

  push(seq: number, text: string): void {
    if (this.phase === 'live' && !this.isReading && this.slowSinceMs === undefined && seq === this.cursor + 1)
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
    if (seq > this.announcedSeq) this.rejectFrame('realtime.ack_unsent');
  }

  onActivity(): void {
    this.lastSeenAtMs = this.deps.clock.nowMs();
  }

  onDrain(): void {
    this.onActivity();
    if (this.slowSinceMs === undefined || this.isFull()) return;
    this.slowSinceMs = undefined;
    void this.catchUp();
  }

  heartbeat(nowMs: number, ping: boolean): void {
    const { peerGoneMs, slowReaderMs } = this.deps.bounds;
    const isGone = nowMs - this.lastSeenAtMs > peerGoneMs;
    if (nowMs >= this.claims.sessionExpiresAtMs)
      this.close(closeCodes.sessionExpired, 'the login session has expired');
    else if (this.slowSinceMs !== undefined && (isGone || nowMs - this.slowSinceMs > slowReaderMs))
      this.closeSlowReader();
    else if (isGone) this.peer.terminate();
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
    this.latestSeq = Math.max(this.latestSeq, seq);
    if (this.hasMoreToSend()) void this.catchUp();
  }

  private hasMoreToSend(): boolean {
    return (
      this.phase === 'live' &&
      this.slowSinceMs === undefined &&
      (this.latestSeq > this.cursor || this.replay !== undefined)
    );
  }

  private async catchUp(): Promise<void> {
    if (this.isReading) return;
    this.isReading = true;
    try {
      while (this.hasMoreToSend()) await this.readPage();
    } catch (error) {
      // Nothing is lost: the next push, check or drain starts the read loop again.
      const { personId } = this.claims;
      this.deps.log.warn({ personId, err: error }, 'failed to read the inbox of a live connection');
      this.abortResume();
    } finally {
      this.isReading = false;
    }
  }

  private abortResume(): void {
    // A slow reader can not be sent an error now. Its resume continues once its buffer has drained.
    if (this.slowSinceMs !== undefined || this.replay === undefined) return;
    this.replay = undefined;
    this.sendError('service.unavailable');
  }

  private async readPage(): Promise<void> {
    const from = this.readPosition();
    // An event pushed before this read was appended before it, so the page includes it. If the page does not, the
    // inbox was lost in the meantime, and waiting for that seq would never end.
    this.latestSeq = 0;
    const page = await this.deps.inbox.read(
      this.claims.personId,
      from,
      pageEntriesMax,
      this.deps.clock.nowMs(),
    );
    this.latestSeq = Math.max(this.latestSeq, page.lastSeq);
    if (this.phase !== 'live' || from !== this.readPosition()) return;
    if (this.replay !== undefined) this.replay = 'sent';
    if (!page.isComplete) return await this.restart(page.lastSeq);
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

  private readPosition(): number {
    return typeof this.replay === 'number' ? this.replay : this.cursor;
  }

  /**
   * The inbox no longer holds the client's seq, or the store was lost. The client continues after `lastSeq` with a
   * snapshot that is not older. This runs in the read loop, so later events wait in the inbox.
   */
  private async restart(lastSeq: number): Promise<void> {
    const snapshot = await this.deps.snapshots(this.claims.personId);
    // A resume that arrived in the meantime sets a new position.
    if (this.phase !== 'live' || typeof this.replay === 'number') return;
    this.deps.metrics.count('notification_unrecovered_total', { asked: String(this.replay !== undefined) });
    this.cursor = lastSeq;
    this.announcedSeq = Math.max(this.announcedSeq, lastSeq);
    this.replay = undefined;
    this.send(encodeFrame({ type: 'resumed', recovered: false, lastSeq, ...(snapshot && { snapshot }) }));
  }

  private sendEvent(seq: number, text: string): void {
    if (!this.send(text)) return;
    this.cursor = seq;
    if (seq > this.announcedSeq) this.announcedSeq = seq;
  }

  /** False if the frame was dropped, in which case the connection is being closed. */
  private send(text: string): boolean {
    const sent = this.peer.send(text);
    if (sent === 0) {
      this.closeSlowReader();
      return false;
    }
    if (sent < 0 && this.slowSinceMs === undefined && this.isFull())
      this.slowSinceMs = this.deps.clock.nowMs();
    return true;
  }

  private isFull(): boolean {
    return this.peer.getBufferedAmount() > this.deps.bounds.queueBytesMax;
  }

  rejectFrame(code: FrameErrorCode): void {
    this.deps.metrics.count('notification_frames_refused_total', { code });
    this.invalidFrames ??= createWindowCounter(60_000);
    if (this.invalidFrames.increment(this.deps.clock.nowMs()) > this.deps.bounds.errorsPerMinuteMax)
      this.close(closeCodes.policyViolation, 'too many invalid frames');
    else this.sendError(code);
  }

  sendError(code: string): void {
    this.sendTransient(encodeFrame({ type: 'error', code }));
  }

  sendTransient(text: string): void {
    // It would reach a slow reader late and slow it down further.
    if ((this.phase === 'live' || this.phase === 'holding') && this.slowSinceMs === undefined)
      this.send(text);
  }

  private closeSlowReader(): void {
    this.deps.metrics.count('notification_slow_readers_total');
    this.close(closeCodes.tryAgainLater, 'too slow; resume later');
  }

  close(code: number, reason: string): void {
    if (this.phase === 'closed') return;
    this.phase = 'closed';
    this.peer.close(code, reason);
  }
}
