import { closeCodes } from '@contracts/realtime.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { FrameErrorCode } from '../errors.ts';
import type { PersonInbox } from '../inbox/inbox.ts';
import type { TicketClaims } from '../tickets/tickets.ts';
import { encodeFrame } from './frames.ts';
import type { Peer } from './peer.ts';
import type { ReadSnapshot } from './snapshots.ts';
import { createWindowCounter, type WindowCounter } from './window-counter.ts';

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

/** The state of one live connection; connection.ts describes its phases. */
export interface ConnectionState {
  readonly deps: ConnectionDeps;
  readonly claims: TicketClaims;
  readonly peer: Peer;
  phase: 'opening' | 'holding' | 'live' | 'closed';
  /** The last seq that was sent, or the one that the client resumed from. */
  cursor: number;
  /** The latest seq that the inbox is known to hold. */
  latestSeq: number;
  /** The highest seq that this connection has sent or announced; a client may acknowledge up to it. */
  announcedSeq: number;
  /** The seq to resume from until the first page is read, then `sent` until `resumed` was sent; undefined without a resume. */
  replay: number | 'sent' | undefined;
  /** Whether the read loop runs. */
  isReading: boolean;
  /** Since when the socket buffer is full; undefined for a reader that keeps up. */
  slowSinceMs: number | undefined;
  lastSeenAtMs: number;
  invalidFrames: WindowCounter | undefined;
}

/** Sends a frame now; false if it was dropped, in which case the connection is being closed. */
export function sendFrame(state: ConnectionState, text: string): boolean {
  const sent = state.peer.send(text);
  if (sent === 0) {
    closeSlowReader(state);
    return false;
  }
  if (sent < 0 && state.slowSinceMs === undefined && isBufferFull(state))
    state.slowSinceMs = state.deps.clock.nowMs();
  return true;
}

/** Sends the event that follows `cursor`. */
export function sendEvent(state: ConnectionState, seq: number, text: string): void {
  if (!sendFrame(state, text)) return;
  state.cursor = seq;
  if (seq > state.announcedSeq) state.announcedSeq = seq;
}

/** Sends a frame unless the reader is slow: it would get the frame late and be slowed down further. */
export function sendTransientFrame(state: ConnectionState, text: string): void {
  if ((state.phase === 'live' || state.phase === 'holding') && state.slowSinceMs === undefined)
    sendFrame(state, text);
}

export const sendErrorFrame = (state: ConnectionState, code: string): void =>
  sendTransientFrame(state, encodeFrame({ type: 'error', code }));

/** Answers an invalid frame with an error. A connection with too many of them in a minute is closed. */
export function rejectInvalidFrame(state: ConnectionState, code: FrameErrorCode): void {
  const { metrics, clock, bounds } = state.deps;
  metrics.count('notification_frames_refused_total', { code });
  state.invalidFrames ??= createWindowCounter(60_000);
  if (state.invalidFrames.increment(clock.nowMs()) > bounds.errorsPerMinuteMax)
    closeConnection(state, closeCodes.policyViolation, 'too many invalid frames');
  else sendErrorFrame(state, code);
}

export const isBufferFull = ({ peer, deps }: ConnectionState): boolean =>
  peer.getBufferedAmount() > deps.bounds.queueBytesMax;

export function closeSlowReader(state: ConnectionState): void {
  state.deps.metrics.count('notification_slow_readers_total');
  closeConnection(state, closeCodes.tryAgainLater, 'too slow; resume later');
}

export function closeConnection(state: ConnectionState, code: number, reason: string): void {
  if (state.phase === 'closed') return;
  state.phase = 'closed';
  state.peer.close(code, reason);
}
