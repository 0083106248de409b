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
  /** Aborted when the city ends: no connection is opened any more. */
  signal: AbortSignal;
  /** Called once for each event, in the order of `seq`. */
  onEvent(frame: EventFrame): void;
  /** The server reported that events were lost, so the state must be read. */
  onLost(): void;
  /** Events were lost and the server did not report it. */
  onGap(detail: string): void;
}

/** A live connection that reconnects and resumes by itself. */
export interface LiveClient {
  /** Resolves once connected, or after `readyTimeoutMs`; connecting continues in the background. */
  open(): Promise<void>;
  /** False without a connection: send the position over HTTP instead. */
  sendPosition(fix: PositionFix): boolean;
  /** Closes the connection. `open` reconnects and resumes. */
  close(): Promise<void>;
}

const reconnectSpreadMs = 2_000;
const readyTimeoutMs = 5_000;
const pauseMsMin = 300;
const resumeRetryMs = 1_000;
const pauseMsMax = 10_000;
// A replay that has not arrived this long after it was announced counts as missing.
const replayTimeoutMs = 5_000;
// Normal closure, going away, no code, abnormal closure, server error, and closures that the client did not cause.
const ordinaryCodes = new Set<number>([
  ...[1000, 1001, 1005, 1006, 1011],
  ...[closeCodes.restarting, closeCodes.tryAgainLater, closeCodes.sessionExpired],
]);
const outageCodes = /(unavailable|timeout|overloaded)$/;

export function createLiveClient(options: LiveClientDeps): LiveClient {
  const { clock, tally } = options;
  const receiver = createFrameReceiver(options);
  let closing = new AbortController();
  let running: Promise<void> = Promise.resolve();
  let current: SendFrame | undefined;
  let welcomed = new AbortController();

  async function connectOnce(until: AbortSignal): Promise<SocketResult> {
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
      // After `close` was called, late frames such as errors for the last position are ignored.
      if (until.aborted) return;
      if (frame.type === 'welcome') welcomed.abort();
      receiver.receive(frame, send);
    };
    const onInvalidFrame = () => incrementCount(tally.errors, 'frame.unexpected');
    const url = `${options.socketUrl}/v1/realtime?ticket=${ticket.value.ticket}`;
    const closed = await runSocket(url, { onOpen, onFrame, onInvalidFrame }, until);
    current = undefined;
    return closed;
  }

  async function stayConnected(until: AbortSignal): Promise<void> {
    for (let failures = 0; !until.aborted; ) {
      const closed = await connectOnce(until);
      if (until.aborted) return;
      failures = closed.wasOpened ? 0 : failures + 1;
      tally.reconnects++;
      if (!ordinaryCodes.has(closed.code)) incrementCount(tally.errors, `socket.closed_${closed.code}`);
      await clock.sleep(pauseMs(closed, failures) + options.random.next() * reconnectSpreadMs, until);
    }
  }

  return {
    async open() {
      closing = new AbortController();
      welcomed = new AbortController();
      const until = AbortSignal.any([closing.signal, options.signal]);
      running = running.then(() => stayConnected(until));
      await clock.sleep(readyTimeoutMs, AbortSignal.any([welcomed.signal, until]));
    },
    sendPosition(fix) {
      current?.({ type: 'location', ...fix });
      return current !== undefined;
    },
    async close() {
      closing.abort();
      await running;
      receiver.end();
    },
  };
}

/** After an announced restart only the random spread applies, otherwise the pause doubles with each failure. */
const pauseMs = ({ code }: SocketResult, failures: number): number =>
  code === closeCodes.restarting ? 0 : Math.min(pauseMsMax, pauseMsMin * 2 ** failures);

interface FrameReceiver {
  receive(frame: ServerFrame, send: SendFrame): void;
  end(): void;
}

function createFrameReceiver({
  clock,
  tally,
  signal,
  onEvent,
  onLost,
  onGap,
}: LiveClientDeps): FrameReceiver {
  const sequence: EventSequence = createEventSequence();
  let resumedAtMs = 0;

  /** Delivers the events that are next in order, and resumes if events are missing. */
  function deliverReady(send: SendFrame) {
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

  function handleError(code: string, send: SendFrame) {
    if (outageCodes.test(code)) {
      tally.retried++;
      // A rejected position is not sent again, since the next one follows. A rejected resume is sent again; the
      // error does not say which of the two it answers.
      if (sequence.isResuming()) void resumeLater(send);
    } else if (code === 'realtime.resume_under_way') tally.retried++;
    // A driver sends over two channels, so a position may overtake the previous one, which the server must then reject.
    else incrementCount(code === 'position.outdated' ? tally.provoked : tally.errors, code);
  }

  async function resumeLater(send: SendFrame) {
    await clock.sleep(resumeRetryMs, signal);
    if (sequence.isResuming() && !signal.aborted) send({ type: 'resume', after: sequence.startResume() });
  }

  return {
    receive(frame, send) {
      switch (frame.type) {
        case 'error':
          return handleError(frame.code, send);
        case 'welcome':
          return send({ type: 'resume', after: sequence.onWelcome(frame.lastSeq) });
        case 'event':
          sequence.add(frame);
          return deliverReady(send);
        case 'resumed':
          resumedAtMs = clock.nowMs();
          if (!sequence.onResumed(frame)) onLost();
          return deliverReady(send);
      }
    },
    end() {
      const awaited = sequence.describeMissingReplay();
      if (awaited !== undefined && clock.nowMs() - resumedAtMs > replayTimeoutMs) onGap(awaited);
    },
  };
}
