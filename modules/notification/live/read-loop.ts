import { type ConnectionState, sendErrorFrame, sendEvent, sendFrame } from './connection-state.ts';
import { encodeEventFrame, encodeFrame } from './frames.ts';

/** Entries read from the inbox in one call. */
export const pageEntriesMax = 100;

/**
 * The read loop of a connection: sends what the inbox holds after `cursor`, in order. At most one loop runs at a time;
 * whatever makes more to send (a push, a check, a resume, a drained buffer) calls this again.
 */
export async function catchUp(state: ConnectionState): Promise<void> {
  if (state.isReading) return;
  state.isReading = true;
  try {
    while (hasMoreToSend(state)) await readPage(state);
  } catch (error) {
    // Nothing is lost: the next push, check or drain starts the read loop again.
    const { personId } = state.claims;
    state.deps.log.warn({ personId, err: error }, 'failed to read the inbox of a live connection');
    abortResume(state);
  } finally {
    state.isReading = false;
  }
}

export const hasMoreToSend = ({ phase, slowSinceMs, latestSeq, cursor, replay }: ConnectionState): boolean =>
  phase === 'live' && slowSinceMs === undefined && (latestSeq > cursor || replay !== undefined);

function abortResume(state: ConnectionState): void {
  // A slow reader can not be sent an error now. Its resume continues once its buffer has drained.
  if (state.slowSinceMs !== undefined || state.replay === undefined) return;
  state.replay = undefined;
  sendErrorFrame(state, 'service.unavailable');
}

async function readPage(state: ConnectionState): Promise<void> {
  const { inbox, clock } = state.deps;
  const from = readPosition(state);
  // An event pushed before this read was appended before it, so the page includes it. If the page does not, the
  // inbox was lost in the meantime, and waiting for that seq would never end.
  state.latestSeq = 0;
  const page = await inbox.read(state.claims.personId, from, pageEntriesMax, clock.nowMs());
  state.latestSeq = Math.max(state.latestSeq, page.lastSeq);
  if (!isLive(state) || from !== readPosition(state)) return;
  if (state.replay !== undefined) state.replay = 'sent';
  if (!page.isComplete) return await restart(state, page.lastSeq);
  state.cursor = from;
  for (const { seq, body } of page.entries) {
    sendEvent(state, seq, encodeEventFrame(seq, body));
    if (!isLive(state) || state.slowSinceMs !== undefined) return;
  }
  if (page.entries.length === 0) state.cursor = page.lastSeq;
  if (state.replay !== undefined && state.cursor >= page.lastSeq) {
    state.replay = undefined;
    sendFrame(state, encodeFrame({ type: 'resumed', recovered: true, lastSeq: state.cursor }));
  }
}

const isLive = ({ phase }: ConnectionState): boolean => phase === 'live';

const readPosition = ({ replay, cursor }: ConnectionState): number =>
  typeof replay === 'number' ? replay : cursor;

/**
 * The inbox no longer holds the client's seq, or the store was lost. The client continues after `lastSeq` with a
 * snapshot that is not older. This runs in the read loop, so later events wait in the inbox.
 */
async function restart(state: ConnectionState, lastSeq: number): Promise<void> {
  const snapshot = await state.deps.snapshots(state.claims.personId);
  // A resume that arrived in the meantime sets a new position.
  if (!isLive(state) || typeof state.replay === 'number') return;
  state.deps.metrics.count('notification_unrecovered_total', { asked: String(state.replay !== undefined) });
  state.cursor = lastSeq;
  state.announcedSeq = Math.max(state.announcedSeq, lastSeq);
  state.replay = undefined;
  sendFrame(
    state,
    encodeFrame({ type: 'resumed', recovered: false, lastSeq, ...(snapshot && { snapshot }) }),
  );
}
