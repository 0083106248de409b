import type { EventFrame } from '@contracts/realtime.ts';

/**
 * Puts a person's events in the order of their `seq`, over any number of connections, and says when
 * the server broke its promise: that a client sees every event, or hears `recovered: false`.
 *
 *   following ─(a seq is missing, or a new connection)─▶ resuming ─(resumed)─▶ replaying ─▶ following
 *
 * A replay may come before or after the `resumed` frame, and live events may come between. Where a
 * person's counting begins is the server's choice: the first welcome tells it.
 */
export interface EventSequence {
  /** A connection begins. The `after` to resume from at once. */
  onWelcome(lastSeq: number): number;
  /** A resume was sent and not answered. */
  isResuming(): boolean;
  /** The `after` of a resume that is sent now. */
  startResume(): number;
  /** False when events were lost, and the server said so. */
  onResumed(frame: { recovered: boolean; lastSeq: number }): boolean;
  add(frame: EventFrame): void;
  /** What can be handed over now; nothing twice. */
  takeReady(): EventFrame[];
  /** Looked at after `take`. A broken place is passed over: `take` goes on behind it. */
  checkGap(): { kind: 'none' } | { kind: 'ask_again' } | { kind: 'broken'; detail: string };
  /** A replay that was promised and has not come; undefined when all is here. */
  describeMissingReplay(): string | undefined;
}

const asksMax = 3;

export function createEventSequence(): EventSequence {
  const early = new Map<number, EventFrame>();
  let mode: 'following' | 'resuming' | 'replaying' = 'following';
  let seen: number | undefined;
  let promised = 0;
  let asked = { after: -1, times: 0 };

  const firstEarly = () => (early.size === 0 ? undefined : Math.min(...early.keys()));

  const after = () => seen ?? 0;

  function skipTo(seq: number) {
    seen = Math.max(after(), seq);
    for (const held of early.keys()) if (held <= seen) early.delete(held);
  }

  function startResume(): number {
    mode = 'resuming';
    promised = 0;
    asked = { after: after(), times: asked.after === after() ? asked.times + 1 : 1 };
    return after();
  }

  return {
    onWelcome(lastSeq) {
      asked = { after: -1, times: 0 };
      seen ??= lastSeq;
      return startResume();
    },
    isResuming: () => mode === 'resuming',
    startResume,
    onResumed({ recovered, lastSeq }) {
      mode = 'replaying';
      promised = lastSeq;
      if (!recovered) skipTo((firstEarly() ?? lastSeq + 1) - 1);
      return recovered;
    },
    add(frame) {
      if (frame.seq > after()) early.set(frame.seq, frame);
    },
    takeReady() {
      const ready: EventFrame[] = [];
      for (let frame = early.get(after() + 1); frame !== undefined; frame = early.get(after() + 1)) {
        early.delete(frame.seq);
        seen = frame.seq;
        ready.push(frame);
      }
      if (mode === 'replaying' && after() >= promised) mode = 'following';
      return ready;
    },
    checkGap() {
      const first = firstEarly();
      // Live events that overtake a replay wait for it; a replay itself comes in order.
      if (first === undefined || mode === 'resuming' || (mode === 'replaying' && first > promised))
        return { kind: 'none' };
      const exhausted = asked.after === after() && asked.times >= asksMax;
      if (mode === 'following' && !exhausted) return { kind: 'ask_again' };
      const detail = `after seq ${after()} came ${first}, and a resume did not bring what is between`;
      skipTo(first - 1);
      return { kind: 'broken', detail };
    },
    describeMissingReplay: () =>
      mode === 'replaying' ? `resumed promised seq ${promised}, the last that came is ${after()}` : undefined,
  };
}
