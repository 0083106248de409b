import type { Clock } from '@platform/clock.ts';
import type { Socket } from 'bun';

/** One response as it came over the wire. */
export interface WireResponse {
  status: number;
  headers: Map<string, string>;
  body: string;
}

export interface WireExchange {
  answers: WireResponse[];
  /** Too few whole answers came, and the connection stayed open past the bound. */
  hung: boolean;
  closed: boolean;
}

export interface WireSendOptions {
  /** Between two parts a pause. They end early, also when they have no end, with the last answer. */
  parts: Iterable<Uint8Array>;
  pauseMs: number;
  /** So many are waited for. */
  answersMin: number;
  /** Waits for the end of the connection, to see whether more than one answer comes. */
  untilClosed: boolean;
  isHead: boolean;
  timeoutMs: number;
}

const headEnd = Buffer.from('\r\n\r\n');
// A server that has said all may keep the connection: after so long nothing more is expected of it.
const settleMs = 60;
const lookAgainMs = 250;

/** Sends bytes on a connection of their own and reads what comes back, whatever it is. */
export async function sendOnNewConnection(
  port: number,
  options: WireSendOptions,
  clock: Clock,
): Promise<WireExchange> {
  const line = await openWireConnection(port);
  try {
    return await line.exchange(options, clock);
  } finally {
    line.close();
  }
}

/** A connection that may be used again as long as its exchanges end whole. */
export interface WireConnection {
  exchange(options: WireSendOptions, clock: Clock): Promise<WireExchange>;
  isOpen(): boolean;
  close(): void;
}

export async function openWireConnection(port: number): Promise<WireConnection> {
  let received: Buffer = Buffer.alloc(0);
  let isClosed = false;
  let isEnding = false;
  let changed: () => void = () => undefined;
  const socket: Socket<undefined> = await Bun.connect({
    hostname: '127.0.0.1',
    port,
    socket: {
      data(_, chunk) {
        received = Buffer.concat([received, chunk]);
        changed();
      },
      close: end,
      error: end,
      end,
    },
  });
  function end(): void {
    isClosed = true;
    changed();
  }

  return {
    isOpen: () => !isClosed && !isEnding && received.length === 0,
    close: () => void socket.end(),
    async exchange({ parts, pauseMs, answersMin, untilClosed, isHead, timeoutMs }, clock) {
      received = Buffer.alloc(0);
      const endMs = clock.nowMs() + timeoutMs;
      let answers: WireResponse[] = [];
      const isOver = () => isClosed || answers.length >= answersMin || clock.nowMs() >= endMs;
      const look = async (atMostMs: number) => {
        await change(Math.min(atMostMs, endMs - clock.nowMs()), clock);
        answers = readAnswers(received, isHead, isClosed);
      };
      let isFirst = true;
      for (const part of parts) {
        if (!isFirst) await look(pauseMs);
        isFirst = false;
        if (isOver()) break;
        await writeAll(socket, part, () => isClosed, clock, endMs);
      }
      answers = readAnswers(received, isHead, isClosed);
      while (!isOver()) await look(lookAgainMs);
      const hung = !isClosed && answers.length < answersMin;
      for (let quietMs = 0; untilClosed && !isClosed && quietMs < settleMs; quietMs += settleMs / 2)
        await change(settleMs / 2, clock);
      answers = readAnswers(received, isHead, isClosed);
      isEnding = answers.some(({ headers }) => headers.get('connection') === 'close');
      received = Buffer.alloc(0);
      return { answers, hung, closed: isClosed };
    },
  };

  async function change(atMostMs: number, clock: Clock): Promise<void> {
    const ended = new AbortController();
    changed = () => ended.abort();
    if (!isClosed) await clock.sleep(atMostMs, ended.signal);
  }
}

async function writeAll(
  socket: Socket<undefined>,
  bytes: Uint8Array,
  isClosed: () => boolean,
  clock: Clock,
  endMs: number,
): Promise<void> {
  for (let from = 0; from < bytes.length && !isClosed() && clock.nowMs() < endMs; ) {
    from += Math.max(0, socket.write(bytes.subarray(from)));
    if (from < bytes.length) await clock.sleep(1);
  }
}

/** All whole responses; the last may be ended by the end of the connection. */
function readAnswers(bytes: Buffer, isHead: boolean, isClosed: boolean): WireResponse[] {
  const answers: WireResponse[] = [];
  for (let from = 0; from < bytes.length; ) {
    const headTo = bytes.indexOf(headEnd, from);
    if (headTo < 0) break;
    const [first = '', ...lines] = bytes.toString('latin1', from, headTo).split('\r\n');
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
      }),
    );
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? 0);
    const bodyFrom = headTo + headEnd.length;
    const bodyTo = bodyEnd(bytes, bodyFrom, headers, status, isHead, isClosed);
    if (bodyTo === undefined) break;
    // 100 says that the answer is still to come.
    if (status >= 200 || status === 0)
      answers.push({ status, headers, body: bytes.toString('utf8', bodyFrom, bodyTo) });
    from = bodyTo;
  }
  return answers;
}

function bodyEnd(
  bytes: Buffer,
  from: number,
  headers: ReadonlyMap<string, string>,
  status: number,
  isHead: boolean,
  isClosed: boolean,
): number | undefined {
  if (isHead || status === 204 || status === 304 || status < 200) return from;
  const length = headers.get('content-length');
  if (length !== undefined) {
    const to = from + Number(length);
    return to <= bytes.length ? to : undefined;
  }
  if (headers.get('transfer-encoding') === 'chunked') {
    const last = bytes.indexOf('0\r\n\r\n', from);
    return last < 0 ? undefined : last + 5;
  }
  return isClosed ? bytes.length : undefined;
}
