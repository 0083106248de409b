import type { EventFrame } from '@contracts/realtime.ts';

/**
 * Orders the events of a person by `seq` over any number of connections, and detects when the server violates its
 * guarantee that a client receives every event or `recovered: false`.
 *
 *   following ─(a seq is missing, or a new connection)─▶ resuming ─(resumed)─▶ replaying ─▶ following
 *
 * A replay may arrive before or after the `resumed` frame, with live events in between. The server chooses the first
 * seq of a person and announces it in the first welcome.
 */
export interface EventSequence {
  /** Handles the welcome of a new connection; returns the `after` of the resume to send. */
  onWelcome(lastSeq: number): number;
  /** Whether a resume was sent and not answered yet. */
  isResuming(): boolean;
  /** Starts a resume; returns its `after`. */
  startResume(): number;
  /** Handles the answer to a resume; false if the server reported lost events. */
  onResumed(frame: { recovered: boolean; lastSeq: number }): boolean;
  add(frame: EventFrame): void;
  /** Takes the events that are next in order, each once. */
  takeReady(): EventFrame[];
  /** Checks for a gap; call it after `takeReady`. A permanent gap is skipped, and `takeReady` continues behind it. */
  checkGap(): { kind: 'none' } | { kind: 'ask_again' } | { kind: 'broken'; detail: string };
  /** Describes an announced replay that has not arrived; undefined if nothing is missing. */
  describeMissingReplay(): string | undefined;
}

const resumesMax = 3;

export function createEventSequence(): EventSequence {
  const outOfOrder = new Map<number, EventFrame>();
  let mode: 'following' | 'resuming' | 'replaying' = 'following';
  let deliveredSeq: number | undefined;
  let announcedSeq = 0;
  let lastResume = { after: -1, times: 0 };

  const firstOutOfOrder = () => (outOfOrder.size === 0 ? undefined : Math.min(...outOfOrder.keys()));

  const after = () => deliveredSeq ?? 0;

  function skipTo(seq: number) {
    deliveredSeq = Math.max(after(), seq);
    for (const waitingSeq of outOfOrder.keys()) if (waitingSeq <= deliveredSeq) outOfOrder.delete(waitingSeq);
  }

  function startResume(): number {
    mode = 'resuming';
    announcedSeq = 0;
    lastResume = { after: after(), times: lastResume.after === after() ? lastResume.times + 1 : 1 };
    return after();
  }

  return {
    onWelcome(lastSeq) {
      lastResume = { after: -1, times: 0 };
      deliveredSeq ??= lastSeq;
      return startResume();
    },
    isResuming: () => mode === 'resuming',
    startResume,
    onResumed({ recovered, lastSeq }) {
      mode = 'replaying';
      announcedSeq = lastSeq;
      if (!recovered) skipTo((firstOutOfOrder() ?? lastSeq + 1) - 1);
      return recovered;
    },
    add(frame) {
      if (frame.seq > after()) outOfOrder.set(frame.seq, frame);
    },
    takeReady() {
      const ready: EventFrame[] = [];
      for (
        let frame = outOfOrder.get(after() + 1);
        frame !== undefined;
        frame = outOfOrder.get(after() + 1)
      ) {
        outOfOrder.delete(frame.seq);
        deliveredSeq = frame.seq;
        ready.push(frame);
      }
      if (mode === 'replaying' && after() >= announcedSeq) mode = 'following';
      return ready;
    },
    checkGap() {
      const first = firstOutOfOrder();
      // Live events that overtake a replay wait for it. The replay itself arrives in order.
      if (first === undefined || mode === 'resuming' || (mode === 'replaying' && first > announcedSeq))
        return { kind: 'none' };
      const exhausted = lastResume.after === after() && lastResume.times >= resumesMax;
      if (mode === 'following' && !exhausted) return { kind: 'ask_again' };
      const detail = `after seq ${after()} came ${first}, and a resume did not deliver the events in between`;
      skipTo(first - 1);
      return { kind: 'broken', detail };
    },
    describeMissingReplay: () =>
      mode === 'replaying'
        ? `resumed announced seq ${announcedSeq}, the last received is ${after()}`
        : undefined,
  };
}
