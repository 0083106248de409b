import type { PositionFix } from '@contracts/drivers.ts';
import { closeCodes, type EventFrame, type ServerFrame, type Ticket } from '@contracts/realtime.ts';
import type { Clock } from '@platform/clock.ts';
import type { Random } from '@platform/random.ts';
import type { ApiReply } from './http.ts';
import { createEventSequence, type EventSequence } from './sequence.ts';
import { runSocket, type SendFrame, type SocketResult } from './socket.ts';
import { type CityTally, incrementCount } from './tally.ts';

export interface LiveClientDeps {
  /** `ws://host:port` of the edge. */
  socketUrl: string;
  ticket: () => Promise<ApiReply<Ticket>>;
  clock: Clock;
  random: Random;
  tally: CityTally;
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
export interface LiveClient {
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

export function createLiveClient(options: LiveClientDeps): LiveClient {
  const { clock, tally } = options;
  const inbox = createInbox(options);
  let leaving = new AbortController();
  let running: Promise<void> = Promise.resolve();
  let current: SendFrame | undefined;
  let welcomed = new AbortController();

  async function once(until: AbortSignal): Promise<SocketResult> {
    const ticket = await options.ticket();
    if (until.aborted) return { wasOpened: false, code: 1000 };
    if (!ticket.ok) {
      incrementCount(tally.errors, ticket.code);
      return { wasOpened: false, code: 1006 };
    }
    const onOpen = (send: SendFrame) => {
      current = send;
    };
    const onFrame = (frame: ServerFrame, send: SendFrame) => {
      // Who leaves has said so elsewhere too, and is not interested in what becomes of the last position.
      if (until.aborted) return;
      if (frame.type === 'welcome') welcomed.abort();
      inbox.receive(frame, send);
    };
    const onInvalidFrame = () => incrementCount(tally.errors, 'frame.unexpected');
    const url = `${options.socketUrl}/v1/realtime?ticket=${ticket.value.ticket}`;
    const closed = await runSocket(url, { onOpen, onFrame, onInvalidFrame }, until);
    current = undefined;
    return closed;
  }

  async function stayConnected(until: AbortSignal): Promise<void> {
    for (let failures = 0; !until.aborted; ) {
      const closed = await once(until);
      if (until.aborted) return;
      failures = closed.wasOpened ? 0 : failures + 1;
      tally.reconnects++;
      if (!ordinaryCodes.has(closed.code)) incrementCount(tally.errors, `socket.closed_${closed.code}`);
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
const pauseMs = ({ code }: SocketResult, failures: number): number =>
  code === closeCodes.restarting ? 0 : Math.min(pauseMsMax, pauseMsMin * 2 ** failures);

interface Inbox {
  receive(frame: ServerFrame, send: SendFrame): void;
  end(): void;
}

function createInbox({ clock, tally, signal, onEvent, onLost, onGap }: LiveClientDeps): Inbox {
  const sequence: EventSequence = createEventSequence();
  let resumedAtMs = 0;

  /** Hands over what is next in order, and asks again for what is missing. */
  function settle(send: SendFrame) {
    for (;;) {
      const ready = sequence.takeReady();
      for (const frame of ready) {
        tally.notifications++;
        onEvent(frame);
      }
      const last = ready.at(-1);
      if (last !== undefined) send({ type: 'ack', seq: last.seq });
      const gap = sequence.checkGap();
      if (gap.kind === 'ask_again') send({ type: 'resume', after: sequence.startResume() });
      if (gap.kind !== 'broken') return;
      onGap(gap.detail);
    }
  }

  function refused(code: string, send: SendFrame) {
    if (outageCodes.test(code)) {
      tally.retried++;
      // A position is not sent again, the next one is on its way. A resume is, and which of the two it
      // was is not said.
      if (sequence.isResuming()) void resumeLater(send);
    } else if (code === 'realtime.resume_under_way') tally.retried++;
    // Two doors for one driver: a position may overtake the one before, and the server must say so.
    else incrementCount(code === 'position.outdated' ? tally.provoked : tally.errors, code);
  }

  async function resumeLater(send: SendFrame) {
    await clock.sleep(resumeAgainMs, signal);
    if (sequence.isResuming() && !signal.aborted) send({ type: 'resume', after: sequence.startResume() });
  }

  return {
    receive(frame, send) {
      switch (frame.type) {
        case 'error':
          return refused(frame.code, send);
        case 'welcome':
          return send({ type: 'resume', after: sequence.onWelcome(frame.lastSeq) });
        case 'event':
          sequence.add(frame);
          return settle(send);
        case 'resumed':
          resumedAtMs = clock.nowMs();
          if (!sequence.onResumed(frame)) onLost();
          return settle(send);
      }
    },
    end() {
      const awaited = sequence.describeMissingReplay();
      if (awaited !== undefined && clock.nowMs() - resumedAtMs > replayTimeMs) onGap(awaited);
    },
  };
}
