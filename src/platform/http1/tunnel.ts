import type { Socket } from 'bun';
import type { Clock } from '../clock.ts';
import { acceptsWebSocketHandshake } from '../http-message/websocket-handshake.ts';
import { BinaryStringBuilder, toBinaryString } from './binary.ts';
import { ExchangeFailure } from './exchange.ts';
import { MalformedMessage, parseFieldLines } from './fields.ts';
import { createMessageReader } from './message-reader.ts';
import { parseResponseHead, type ResponseHead } from './response-head.ts';
import type { Http1Answer, ProtocolUpgrade, UpgradedConnectionHandler, UpgradedPeer } from './server.ts';
import { createFrameBoundaryTracker } from './websocket-frames.ts';

export interface TunnelOptions {
  /** `http://` with host and port. */
  url: string;
  /** Path and query. */
  target: string;
  /** Header lines of the handshake, each with its CRLF, without those of the connection. */
  lines: string;
  /** The client's `Sec-WebSocket-Key`, to which the instance's agreement must be the answer. */
  key: string;
  clock: Clock;
  /** Unix milliseconds until which the handshake must be answered. */
  dueMs: number;
}

const headBytesMax = 16 * 1024;
/** Of an answer that refuses. */
const bodyBytesMax = 64 * 1024;

/** The other end of a tunnel: heard by the handshake first, then by the bridge. */
interface Wire {
  opened(socket: Socket<Wire>): void;
  received(bytes: Buffer): void;
  drained(): void;
  closed(cause?: unknown): void;
}

/**
 * Asks an instance for a WebSocket. Where it agrees, the two connections become one: bytes are passed on as
 * they come, each side at the other's pace; where not, its answer is the answer. Rejects with ExchangeFailure.
 */
export async function openTunnel({
  url,
  target,
  lines,
  key,
  clock,
  dueMs,
}: TunnelOptions): Promise<Http1Answer> {
  const { hostname, port, host } = new URL(url);
  const { promise, resolve, reject } = Promise.withResolvers<Http1Answer>();
  const settled = new AbortController();
  const handshake = createHandshake({ resolve, reject, key });
  const wire: Wire = { ...handshake };
  const head = `GET ${target} HTTP/1.1\r\nhost: ${host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n${lines}\r\n`;
  wire.opened = (socket) => {
    handshake.become(wire, socket);
    socket.setNoDelay(true);
    socket.write(Buffer.from(head, 'latin1'));
  };
  clock.sleep(dueMs - clock.nowMs(), settled.signal).then(() => {
    if (!settled.signal.aborted) handshake.fail(new ExchangeFailure('timed_out', true));
  });
  Bun.connect<Wire>({
    hostname: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port) || 80,
    data: wire,
    socket: {
      open: (socket) => socket.data.opened(socket),
      data: (socket, bytes) => socket.data.received(bytes),
      drain: (socket) => socket.data.drained(),
      end: (socket) => void socket.end(),
      close: (socket, error) => socket.data.closed(error),
      error: (socket, error) => socket.data.closed(error),
      connectError: (_, error) => reject(new ExchangeFailure('not_connected', false, error)),
    },
  }).catch((error: unknown) => reject(new ExchangeFailure('not_connected', false, error)));
  return promise.finally(() => settled.abort());
}

interface HandshakeOptions {
  resolve(answer: Http1Answer): void;
  reject(failure: ExchangeFailure): void;
  key: string;
}

/** Reads the instance's answer to the handshake, and hands the connection over to a bridge if it agreed. */
function createHandshake({ resolve, reject, key }: HandshakeOptions) {
  let wire: Wire | undefined;
  let socket: Socket<Wire> | undefined;
  let head: ResponseHead | undefined;
  const body = new BinaryStringBuilder();
  let over = false;
  const reader = createMessageReader(
    {
      onHead(text) {
        const read = parseResponseHead(text, 'GET');
        if (read.status !== 101 && read.status < 200) return undefined;
        if (read.status === 101 && !agrees(read))
          throw new MalformedMessage('an agreement to something else');
        head = read;
        return read.framing;
      },
      onBody(bytes, start, end) {
        body.append(bytes, start, end);
        if (body.length > bodyBytesMax) throw new MalformedMessage('so long a refusal', true);
      },
      onEnd() {
        over = true;
      },
    },
    headBytesMax,
  );
  reader.begin();

  return {
    opened: (_: Socket<Wire>) => undefined,
    become(mine: Wire, opened: Socket<Wire>) {
      wire = mine;
      socket = opened;
    },
    received(bytes: Buffer) {
      try {
        const taken = reader.feed(bytes);
        if (over && head !== undefined) answer(head, bytes.subarray(taken));
      } catch (error) {
        fail(new ExchangeFailure('malformed', true, error));
      }
    },
    drained: () => undefined,
    closed(cause?: unknown) {
      try {
        reader.finish();
      } catch {
        fail(new ExchangeFailure('lost', true, cause));
        return;
      }
      if (head !== undefined) answer(head, nothing);
    },
    fail,
  };

  function agrees({ lines, connection, upgrade }: ResponseHead): boolean {
    const others = new Map(parseFieldLines(lines));
    const header = (name: string) =>
      name === 'connection' ? connection : name === 'upgrade' ? upgrade : others.get(name);
    return acceptsWebSocketHandshake(header, key);
  }

  function answer({ status, lines }: ResponseHead, early: Buffer): void {
    if (wire === undefined || socket === undefined) return;
    if (status !== 101) {
      socket.end();
      resolve({ status, lines, body: body.build() });
    } else resolve(bridge(wire, socket, lines, early));
  }

  function fail(failure: ExchangeFailure): void {
    // First the reason: to end the connection calls `closed`.
    reject(failure);
    socket?.terminate();
  }
}

const nothing = Buffer.alloc(0);

/** Joins the connection to the instance with the one to the client. */
function bridge(wire: Wire, upstream: Socket<Wire>, lines: string, early: Buffer): ProtocolUpgrade {
  const head = `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n${lines}\r\n`;
  const frames = createFrameBoundaryTracker();
  frames.track(early);
  // Until the client's side is there nothing more is read.
  upstream.pause();
  let gone = false;
  wire.closed = () => {
    gone = true;
  };

  return {
    openingBytes: head + toBinaryString(early),
    abandon: () => void upstream.terminate(),
    start(peer) {
      const down = createPipe((bytes) => peer.write(bytes), upstream);
      const up = createPipe((bytes) => upstream.write(bytes), peer);
      let stopping = false;
      wire.received = (bytes) => {
        const end = stopping ? frames.findFrameEnd(bytes) : undefined;
        if (end === undefined) {
          if (!stopping) frames.track(bytes);
          return down.send(bytes);
        }
        down.send(Buffer.concat([bytes.subarray(0, end), goingAway]));
        finish(peer);
      };
      wire.drained = up.drained;
      wire.closed = () => peer.end();
      if (gone) peer.end();
      upstream.resume();
      const ours: UpgradedConnectionHandler = {
        onData: up.send,
        onDrain: down.drained,
        onClose: () => void upstream.terminate(),
        onServerStop() {
          stopping = true;
          if (!frames.isAtFrameEnd()) return;
          down.send(goingAway);
          finish(peer);
        },
      };
      return ours;
    },
  };

  function finish(peer: UpgradedPeer): void {
    wire.received = () => undefined;
    upstream.end();
    peer.end();
  }
}

/** A close frame of a server with 1012: it restarts, come back (RFC 6455 §7.4.1 and its registry). */
const goingAway = Buffer.from([0x88, 0x02, 0x03, 0xf4]);

/** One direction: what the writer does not take waits, and its source with it. */
function createPipe(write: (bytes: Uint8Array) => number, source: { pause(): void; resume(): void }) {
  let waiting: Uint8Array | undefined;
  return {
    send(bytes: Uint8Array): void {
      // A paused source may still hand over what it had read.
      if (waiting !== undefined) {
        waiting = Buffer.concat([waiting, bytes]);
        return;
      }
      const taken = Math.max(0, write(bytes));
      if (taken === bytes.length) return;
      waiting = bytes.subarray(taken);
      source.pause();
    },
    drained(): void {
      const rest = waiting;
      waiting = undefined;
      if (rest === undefined) return;
      const taken = Math.max(0, write(rest));
      if (taken < rest.length) waiting = rest.subarray(taken);
      else source.resume();
    },
  };
}
