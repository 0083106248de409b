import { closeCodes } from '@contracts/realtime.ts';
import type { FrameErrorCode } from '../errors.ts';
import type { TicketClaims } from '../tickets/tickets.ts';
import {
  type ConnectionDeps,
  type ConnectionState,
  closeConnection,
  closeSlowReader,
  isBufferFull,
  rejectInvalidFrame,
  sendErrorFrame,
  sendEvent,
  sendFrame,
  sendTransientFrame,
} from './connection-state.ts';
import { encodeFrame } from './frames.ts';
import type { Peer } from './peer.ts';
import { catchUp, hasMoreToSend } from './read-loop.ts';
import type { WindowCounter } from './window-counter.ts';

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

/** How long events wait for a client that may resume: one or two round trips on a mobile network. */
export const resumeWaitMs = 200;

export const createConnection = (deps: ConnectionDeps, claims: TicketClaims, peer: Peer): Connection =>
  new LiveConnection(deps, claims, peer);

/**
 * A class, because an instance has tens of thousands of mostly idle connections. With one closure per method a
 * connection used 6.8 KB of memory; with a class it uses 2.0 KB, of which Bun's socket is 1.6 KB. Twelve fields take
 * 112 bytes; a thirteenth would make it 160.
 */
class LiveConnection implements Connection, ConnectionState {
  phase: ConnectionState['phase'] = 'opening';
  cursor = 0;
  latestSeq = 0;
  announcedSeq = 0;
  replay: ConnectionState['replay'];
  isReading = false;
  slowSinceMs: number | undefined;
  lastSeenAtMs: number;
  invalidFrames: WindowCounter | undefined;

  constructor(
    readonly deps: ConnectionDeps,
    readonly claims: TicketClaims,
    readonly peer: Peer,
  ) {
    this.lastSeenAtMs = deps.clock.nowMs();
  }

  welcome(lastSeq: number): void {
    if (this.phase !== 'opening') return;
    this.cursor = lastSeq;
    this.announcedSeq = lastSeq;
    this.phase = 'holding';
    sendFrame(this, encodeFrame({ type: 'welcome', lastSeq }));
    if (this.replay === undefined) void this.deps.clock.sleep(resumeWaitMs).then(() => this.goLive());
    else this.goLive();
  }

  private goLive(): void {
    if (this.phase !== 'holding') return;
    this.phase = 'live';
    void catchUp(this);
  }

  push(seq: number, text: string): void {
    if (this.phase === 'live' && !this.isReading && this.slowSinceMs === undefined && seq === this.cursor + 1)
      sendEvent(this, seq, text);
    else this.catchUpTo(seq);
  }

  catchUpTo(seq: number): void {
    this.latestSeq = Math.max(this.latestSeq, seq);
    if (hasMoreToSend(this)) void catchUp(this);
  }

  resume(afterSeq: number) {
    if (this.replay !== undefined) return this.rejectFrame('realtime.resume_under_way');
    this.replay = afterSeq;
    if (this.phase === 'holding') this.goLive();
    else void catchUp(this);
  }

  acknowledge(seq: number): void {
    if (seq > this.announcedSeq) this.rejectFrame('realtime.ack_unsent');
  }

  rejectFrame(code: FrameErrorCode): void {
    rejectInvalidFrame(this, code);
  }

  sendTransient(text: string): void {
    sendTransientFrame(this, text);
  }

  sendError(code: string): void {
    sendErrorFrame(this, code);
  }

  onActivity(): void {
    this.lastSeenAtMs = this.deps.clock.nowMs();
  }

  onDrain(): void {
    this.onActivity();
    if (this.slowSinceMs === undefined || isBufferFull(this)) return;
    this.slowSinceMs = undefined;
    void catchUp(this);
  }

  heartbeat(nowMs: number, ping: boolean): void {
    const { peerGoneMs, slowReaderMs } = this.deps.bounds;
    const isGone = nowMs - this.lastSeenAtMs > peerGoneMs;
    if (nowMs >= this.claims.sessionExpiresAtMs)
      this.close(closeCodes.sessionExpired, 'the login session has expired');
    else if (this.slowSinceMs !== undefined && (isGone || nowMs - this.slowSinceMs > slowReaderMs))
      closeSlowReader(this);
    else if (isGone) this.peer.terminate();
    else if (ping) this.peer.ping();
  }

  close(code: number, reason: string): void {
    closeConnection(this, code, reason);
  }

  onClosed(): void {
    this.phase = 'closed';
  }
}
