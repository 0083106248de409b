import type { Clock } from '@platform/clock.ts';
import type { Socket } from 'bun';

/** One response as received on the wire. */
export interface WireResponse {
  status: number;
  headers: Map<string, string>;
  body: string;
}

export interface WireExchange {
  answers: WireResponse[];
  /** Too few complete responses arrived, and the connection stayed open past the timeout. */
  hung: boolean;
  closed: boolean;
}

export interface WireSendOptions {
  /** Sent with a pause between two parts. Sending stops after the last expected response, also for endless parts. */
  parts: Iterable<Uint8Array>;
  pauseMs: number;
  /** How many responses to wait for. */
  answersMin: number;
  /** Waits until the connection is closed, to detect additional responses. */
  untilClosed: boolean;
  isHead: boolean;
  timeoutMs: number;
}

const headEnd = Buffer.from('\r\n\r\n');
// A server may keep the connection open after its response; after this time nothing more is expected.
const settleMs = 60;
const pollIntervalMs = 250;

/** Sends bytes on a new connection and reads whatever comes back. */
export async function sendOnNewConnection(
  port: number,
  options: WireSendOptions,
  clock: Clock,
): Promise<WireExchange> {
  const connection = await openWireConnection(port);
  try {
    return await connection.exchange(options, clock);
  } finally {
    connection.close();
  }
}

/** A connection that can be reused while its exchanges complete. */
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
      const waitForChange = async (atMostMs: number) => {
        await change(Math.min(atMostMs, endMs - clock.nowMs()), clock);
        answers = parseResponses(received, isHead, isClosed);
      };
      let isFirst = true;
      for (const part of parts) {
        if (!isFirst) await waitForChange(pauseMs);
        isFirst = false;
        if (isOver()) break;
        await writeAll(socket, part, () => isClosed, clock, endMs);
      }
      answers = parseResponses(received, isHead, isClosed);
      while (!isOver()) await waitForChange(pollIntervalMs);
      const hung = !isClosed && answers.length < answersMin;
      for (let quietMs = 0; untilClosed && !isClosed && quietMs < settleMs; quietMs += settleMs / 2)
        await change(settleMs / 2, clock);
      answers = parseResponses(received, isHead, isClosed);
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

/** Parses all complete responses; the last may be delimited by the end of the connection. */
function parseResponses(bytes: Buffer, isHead: boolean, isClosed: boolean): WireResponse[] {
  const answers: WireResponse[] = [];
  for (let from = 0; from < bytes.length; ) {
    const headTo = bytes.indexOf(headEnd, from);
    if (headTo < 0) break;
    const [first = '', ...lines] = bytes.toString('latin1', from, headTo).split('\r\n');
    const headers = new Map(
      lines.map((connection) => {
        const colon = connection.indexOf(':');
        return [connection.slice(0, colon).toLowerCase(), connection.slice(colon + 1).trim()] as const;
      }),
    );
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? 0);
    const bodyFrom = headTo + headEnd.length;
    const bodyTo = findBodyEnd(bytes, bodyFrom, headers, status, isHead, isClosed);
    if (bodyTo === undefined) break;
    // 1xx responses precede the actual response.
    if (status >= 200 || status === 0)
      answers.push({ status, headers, body: bytes.toString('utf8', bodyFrom, bodyTo) });
    from = bodyTo;
  }
  return answers;
}

function findBodyEnd(
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
