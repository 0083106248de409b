import type { PositionFix } from '@contracts/drivers.ts';
import { closeCodes, type EventFrame, type ServerFrame, type Ticket } from '@contracts/realtime.ts';
import type { Clock } from '@platform/clock.ts';
import type { Random } from '@platform/random.ts';
import { type Closed, connect, type Send } from './connection.ts';
import type { Reply } from './http.ts';
import { createSequence, type Sequence } from './sequence.ts';
import { count, type Tally } from './tally.ts';

export interface LiveOptions {
  /** `ws://host:port` of the edge. */
  socketUrl: string;
  ticket: () => Promise<Reply<Ticket>>;
  clock: Clock;
  random: Random;
  tally: Tally;
  /** The city is over: nothing is opened any more. */
  signal: AbortSignal;
  /** Each event once, in the order of `seq`. */
  onEvent(frame: EventFrame): void;
  /** Events were lost, and the server said so: what they told must be read. */
  onLost(): void;
  /** Events were lost, and the server did not say so. */
  onGap(detail: string): void;
}

/** A live connection that comes back by itself, and goes on where it was. */
export interface Live {
  /** Resolves when events are heard, or at the latest after `readyTimeoutMs`: connecting goes on. */
  open(): Promise<void>;
  /** False when there is no connection now: use the other door. */
  sendPosition(fix: PositionFix): boolean;
  /** Leaves; `open` comes back and hears what was missed. */
  close(): Promise<void>;
}

const restartSpreadMs = 2_000;
const readyTimeoutMs = 5_000;
const pauseMsMin = 300;
const resumeAgainMs = 1_000;
const pauseMsMax = 10_000;
// A replay that has not come this long after it was promised will not come.
const replayTimeMs = 5_000;
// Done, going away, no code, cut, server error; and what the server ends for reasons that are not ours.
const ordinaryCodes = new Set<number>([
  ...[1000, 1001, 1005, 1006, 1011],
  ...[closeCodes.restarting, closeCodes.tryAgainLater, closeCodes.sessionExpired],
]);
const outageCodes = /(unavailable|timeout|overloaded)$/;

export function createLive(options: LiveOptions): Live {
  const { clock, tally } = options;
  const inbox = createInbox(options);
  let leaving = new AbortController();
  let running: Promise<void> = Promise.resolve();
  let current: Send | undefined;
  let welcomed = new AbortController();

  async function once(until: AbortSignal): Promise<Closed> {
    const ticket = await options.ticket();
    if (until.aborted) return { opened: false, code: 1000 };
    if (!ticket.ok) {
      count(tally.errors, ticket.code);
      return { opened: false, code: 1006 };
    }
    const onOpen = (send: Send) => {
      current = send;
    };
    const onFrame = (frame: ServerFrame, send: Send) => {
      // Who leaves has said so elsewhere too, and is not interested in what becomes of the last position.
      if (until.aborted) return;
      if (frame.type === 'welcome') welcomed.abort();
      inbox.receive(frame, send);
    };
    const onUnreadable = () => count(tally.errors, 'frame.unexpected');
    const url = `${options.socketUrl}/v1/realtime?ticket=${ticket.value.ticket}`;
    const closed = await connect(url, { onOpen, onFrame, onUnreadable }, until);
    current = undefined;
    return closed;
  }

  async function stayConnected(until: AbortSignal): Promise<void> {
    for (let failures = 0; !until.aborted; ) {
      const closed = await once(until);
      if (until.aborted) return;
      failures = closed.opened ? 0 : failures + 1;
      tally.reconnects++;
      if (!ordinaryCodes.has(closed.code)) count(tally.errors, `socket.closed_${closed.code}`);
      await clock.sleep(pauseMs(closed, failures) + options.random.next() * restartSpreadMs, until);
    }
  }

  return {
    async open() {
      leaving = new AbortController();
      welcomed = new AbortController();
      const until = AbortSignal.any([leaving.signal, options.signal]);
      running = running.then(() => stayConnected(until));
      await clock.sleep(readyTimeoutMs, AbortSignal.any([welcomed.signal, until]));
    },
    sendPosition(fix) {
      current?.({ type: 'location', ...fix });
      return current !== undefined;
    },
    async close() {
      leaving.abort();
      await running;
      inbox.end();
    },
  };
}

/** A restart was announced and all come back at once, so only the spread; else longer each time. */
const pauseMs = ({ code }: Closed, failures: number): number =>
  code === closeCodes.restarting ? 0 : Math.min(pauseMsMax, pauseMsMin * 2 ** failures);

interface Inbox {
  receive(frame: ServerFrame, send: Send): void;
  end(): void;
}

function createInbox({ clock, tally, signal, onEvent, onLost, onGap }: LiveOptions): Inbox {
  const sequence: Sequence = createSequence();
  let resumedAtMs = 0;

  /** Hands over what is next in order, and asks again for what is missing. */
  function settle(send: Send) {
    for (;;) {
      const ready = sequence.take();
      for (const frame of ready) {
        tally.notifications++;
        onEvent(frame);
      }
      const last = ready.at(-1);
      if (last !== undefined) send({ type: 'ack', seq: last.seq });
      const gap = sequence.gap();
      if (gap.kind === 'ask_again') send({ type: 'resume', after: sequence.resume() });
      if (gap.kind !== 'broken') return;
      onGap(gap.detail);
    }
  }

  function refused(code: string, send: Send) {
    if (outageCodes.test(code)) {
      tally.retried++;
      // A position is not sent again, the next one is on its way. A resume is, and which of the two it
      // was is not said.
      if (sequence.isResuming()) void resumeLater(send);
    } else if (code === 'realtime.resume_under_way') tally.retried++;
    // Two doors for one driver: a position may overtake the one before, and the server must say so.
    else count(code === 'position.outdated' ? tally.provoked : tally.errors, code);
  }

  async function resumeLater(send: Send) {
    await clock.sleep(resumeAgainMs, signal);
    if (sequence.isResuming() && !signal.aborted) send({ type: 'resume', after: sequence.resume() });
  }

  return {
    receive(frame, send) {
      switch (frame.type) {
        case 'error':
          return refused(frame.code, send);
        case 'welcome':
          return send({ type: 'resume', after: sequence.welcome(frame.lastSeq) });
        case 'event':
          sequence.put(frame);
          return settle(send);
        case 'resumed':
          resumedAtMs = clock.nowMs();
          if (!sequence.resumed(frame)) onLost();
          return settle(send);
      }
    },
    end() {
      const awaited = sequence.awaited();
      if (awaited !== undefined && clock.nowMs() - resumedAtMs > replayTimeMs) onGap(awaited);
    },
  };
}
