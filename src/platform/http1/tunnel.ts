import type { Socket } from 'bun';
import type { Clock } from '../clock.ts';
import { MalformedMessage } from '../http-message/malformed-message.ts';
import { acceptsWebSocketHandshake } from '../http-message/websocket-handshake.ts';
import { BinaryStringBuilder, toBinaryString } from './binary.ts';
import { ExchangeFailure } from './exchange.ts';
import { parseFieldLines } from './fields.ts';
import type {
  Http1Answer,
  ProtocolUpgrade,
  UpgradedConnectionHandler,
  UpgradedPeer,
} from './http1-answer.ts';
import { createMessageReader } from './message-reader.ts';
import { parseResponseHead, type ResponseHead } from './response-head.ts';
import { createFrameBoundaryTracker } from './websocket-frames.ts';

export interface TunnelOptions {
  /** `http://` with host and port. */
  url: string;
  /** Path and query. */
  target: string;
  /** Header lines of the handshake, each with its CRLF, without those of the connection. */
  lines: string;
  /** The client's `Sec-WebSocket-Key`, which the instance's 101 must confirm. */
  key: string;
  clock: Clock;
  /** Unix milliseconds until which the instance must answer the handshake. */
  dueMs: number;
}

const headBytesMax = 16 * 1024;
/** The body of an answer that rejects the handshake. */
const rejectionBytesMax = 64 * 1024;

/** The connection to the instance. Its events go to the handshake first, then to the bridge. */
interface InstanceConnection {
  onOpen(socket: Socket<InstanceConnection>): void;
  onData(bytes: Buffer): void;
  onDrain(): void;
  onClose(cause?: unknown): void;
}

/**
 * Opens a WebSocket to an instance. When the instance accepts it, the two connections are joined: bytes are
 * forwarded as they arrive, each side at the other's pace. When it does not, its answer is returned. Rejects with
 * ExchangeFailure.
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
  const connection: InstanceConnection = { ...handshake };
  const head = `GET ${target} HTTP/1.1\r\nhost: ${host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n${lines}\r\n`;
  connection.onOpen = (socket) => {
    handshake.start(connection, socket);
    socket.setNoDelay(true);
    socket.write(Buffer.from(head, 'latin1'));
  };
  clock.sleep(dueMs - clock.nowMs(), settled.signal).then(() => {
    if (!settled.signal.aborted) handshake.fail(new ExchangeFailure('timed_out', true));
  });
  Bun.connect<InstanceConnection>({
    hostname: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port) || 80,
    data: connection,
    socket: {
      open: (socket) => socket.data.onOpen(socket),
      data: (socket, bytes) => socket.data.onData(bytes),
      drain: (socket) => socket.data.onDrain(),
      end: (socket) => void socket.end(),
      close: (socket, error) => socket.data.onClose(error),
      error: (socket, error) => socket.data.onClose(error),
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

/** Reads the instance's answer to the handshake, and starts a bridge on the connection if it accepted. */
function createHandshake({ resolve, reject, key }: HandshakeOptions) {
  let connection: InstanceConnection | undefined;
  let socket: Socket<InstanceConnection> | undefined;
  let head: ResponseHead | undefined;
  const body = new BinaryStringBuilder();
  let isOver = false;
  const reader = createMessageReader(
    {
      onHead(text) {
        const parsed = parseResponseHead(text, 'GET');
        if (parsed.status !== 101 && parsed.status < 200) return undefined;
        if (parsed.status === 101 && !accepts(parsed))
          throw new MalformedMessage('101 does not accept the handshake');
        head = parsed;
        return parsed.framing;
      },
      onBody(bytes, start, end) {
        body.append(bytes, start, end);
        if (body.length > rejectionBytesMax)
          throw new MalformedMessage('rejection of the handshake too long', true);
      },
      onEnd() {
        isOver = true;
      },
    },
    headBytesMax,
  );
  reader.begin();

  return {
    onOpen: (_: Socket<InstanceConnection>) => undefined,
    start(instance: InstanceConnection, opened: Socket<InstanceConnection>) {
      connection = instance;
      socket = opened;
    },
    onData(bytes: Buffer) {
      try {
        const taken = reader.feed(bytes);
        if (isOver && head !== undefined) answer(head, bytes.subarray(taken));
      } catch (error) {
        fail(new ExchangeFailure('malformed', true, error));
      }
    },
    onDrain: () => undefined,
    onClose(cause?: unknown) {
      try {
        reader.finish();
      } catch {
        fail(new ExchangeFailure('lost', true, cause));
        return;
      }
      if (head !== undefined) answer(head, noBytes);
    },
    fail,
  };

  function accepts({ lines, connection, upgrade }: ResponseHead): boolean {
    const forwarded = new Map(parseFieldLines(lines));
    const header = (name: string) =>
      name === 'connection' ? connection : name === 'upgrade' ? upgrade : forwarded.get(name);
    return acceptsWebSocketHandshake(header, key);
  }

  function answer({ status, lines }: ResponseHead, early: Buffer): void {
    if (connection === undefined || socket === undefined) return;
    if (status !== 101) {
      socket.end();
      resolve({ status, lines, body: body.build() });
    } else resolve(createBridge(connection, socket, lines, early));
  }

  function fail(failure: ExchangeFailure): void {
    // Reject first, since closing the connection calls `onClose`.
    reject(failure);
    socket?.terminate();
  }
}

const noBytes = Buffer.alloc(0);

/** Joins the connection to the instance with the connection to the client. */
function createBridge(
  connection: InstanceConnection,
  upstream: Socket<InstanceConnection>,
  lines: string,
  early: Buffer,
): ProtocolUpgrade {
  const head = `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n${lines}\r\n`;
  const frames = createFrameBoundaryTracker();
  frames.track(early);
  // Nothing more is read until the client's side has started.
  upstream.pause();
  let isClosed = false;
  connection.onClose = () => {
    isClosed = true;
  };

  return {
    openingBytes: head + toBinaryString(early),
    abandon: () => void upstream.terminate(),
    start(peer) {
      const toClient = createPipe((bytes) => peer.write(bytes), upstream);
      const toInstance = createPipe((bytes) => upstream.write(bytes), peer);
      let isStopping = false;
      connection.onData = (bytes) => {
        const end = isStopping ? frames.findFrameEnd(bytes) : undefined;
        if (end === undefined) {
          if (!isStopping) frames.track(bytes);
          return toClient.send(bytes);
        }
        toClient.send(Buffer.concat([bytes.subarray(0, end), restartFrame]));
        finish(peer);
      };
      connection.onDrain = toInstance.onDrain;
      connection.onClose = () => peer.end();
      if (isClosed) peer.end();
      upstream.resume();
      const handler: UpgradedConnectionHandler = {
        onData: toInstance.send,
        onDrain: toClient.onDrain,
        onClose: () => void upstream.terminate(),
        onServerStop() {
          isStopping = true;
          if (!frames.isAtFrameEnd()) return;
          toClient.send(restartFrame);
          finish(peer);
        },
      };
      return handler;
    },
  };

  function finish(peer: UpgradedPeer): void {
    connection.onData = () => undefined;
    upstream.end();
    peer.end();
  }
}

/** A server's close frame with 1012, service restart (RFC 6455 §7.4.1 and its registry). */
const restartFrame = Buffer.from([0x88, 0x02, 0x03, 0xf4]);

/** One direction: bytes that the writer does not accept are kept, and their source is paused. */
function createPipe(write: (bytes: Uint8Array) => number, source: { pause(): void; resume(): void }) {
  let unsent: Uint8Array | undefined;
  return {
    send(bytes: Uint8Array): void {
      // A paused source may still deliver bytes that it had read before.
      if (unsent !== undefined) {
        unsent = Buffer.concat([unsent, bytes]);
        return;
      }
      const written = Math.max(0, write(bytes));
      if (written === bytes.length) return;
      unsent = bytes.subarray(written);
      source.pause();
    },
    onDrain(): void {
      const rest = unsent;
      unsent = undefined;
      if (rest === undefined) return;
      const written = Math.max(0, write(rest));
      if (written < rest.length) unsent = rest.subarray(written);
      else source.resume();
    },
  };
}
