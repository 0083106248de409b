import type { Clock } from '../clock.ts';
import {
  type ClientConnection,
  createClientConnection,
  type SocketBoundConnection,
} from './client-connection.ts';
import { Exchange, ExchangeFailure, type FailureReason } from './exchange.ts';
import type { OutgoingRequest } from './outgoing-request.ts';
import type { Reply } from './reply.ts';

export interface Http1ClientOptions {
  /** `http://` or `https://` with host and port; a path is not looked at. */
  url: string;
  clock: Clock;
  connectTimeoutMs: number;
  /** Of each head that an instance sends, and of its trailers. */
  headBytesMax?: number;
}

/** Speaks HTTP/1.1 to one instance over connections that it keeps. */
export interface Http1Client {
  /** Resolves to the answer; rejects with ExchangeFailure. The number under way is the caller's to bound. */
  send(request: OutgoingRequest): Promise<Reply>;
  connectionCount(): number;
  /** No new connection is kept: each ends with what is under way on it. */
  retire(): void;
  /** Ends all connections at once. */
  close(): void;
}

const headBytes = 16 * 1024;
// Below the 75 s after which our services close an idle connection: it is never they who close one that
// is about to be used.
const idleMsMax = 30_000;
const idleConnectionsMax = 256;
// Deadlines and clients that went away are looked for this often, all in one go: a timer and a listener
// for each request cost more than the look.
const sweepMs = 50;
// An answer under way that brings nothing for so long, though it is waited for, counts as lost.
const stallMs = 30_000;

export function createHttp1Client(options: Http1ClientOptions): Http1Client {
  const { clock, connectTimeoutMs } = options;
  const { hostname, port, protocol, host } = new URL(options.url);
  const secure = protocol === 'https:';
  const busy = new Set<ClientConnection>();
  /** The one used last is used next, so that those not needed any more grow old. */
  const idle: ClientConnection[] = [];
  let retired = false;
  let sweeping = false;
  /** As of the last look. */
  let nowMs = clock.nowMs();

  const owner = {
    host,
    headBytesMax: options.headBytesMax ?? headBytes,
    nowMs: () => nowMs,
    onIdle(connection: ClientConnection) {
      busy.delete(connection);
      if (retired || idle.length >= idleConnectionsMax) return connection.destroy('cancelled');
      connection.idleSinceMs = nowMs;
      idle.push(connection);
    },
    onClosed(connection: ClientConnection) {
      busy.delete(connection);
      const at = idle.indexOf(connection);
      if (at >= 0) idle.splice(at, 1);
    },
  };

  return {
    send(request) {
      if (request.isAbandoned()) return Promise.reject(new ExchangeFailure('cancelled', false));
      if (!sweeping) void sweepWhileUsed();
      const exchange = new Exchange(request);
      const connection = idle.pop() ?? open();
      busy.add(connection);
      connection.start(exchange);
      return exchange.response;
    },
    connectionCount: () => busy.size + idle.length,
    retire() {
      retired = true;
      for (const connection of [...idle]) connection.destroy('cancelled');
    },
    close() {
      retired = true;
      for (const connection of [...idle, ...busy]) connection.destroy('cancelled');
    },
  };

  function open(): ClientConnection {
    const wire = createClientConnection(owner);
    Bun.connect<SocketBoundConnection>({
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port) || (secure ? 443 : 80),
      ...(secure ? { tls: { serverName: hostname } } : {}),
      data: wire,
      socket: secure ? secureHandlers : handlers,
    }).catch((error: unknown) => wire.onClose(error));
    return wire;
  }

  async function sweepWhileUsed(): Promise<void> {
    sweeping = true;
    do {
      nowMs = clock.nowMs();
      await clock.sleep(sweepMs);
      nowMs = clock.nowMs();
      for (const connection of busy) {
        const reason = overdue(connection);
        if (reason !== undefined) connection.destroy(reason);
      }
      while (idle[0] !== undefined && nowMs - idle[0].idleSinceMs > idleMsMax) idle[0].destroy('cancelled');
    } while (busy.size + idle.length > 0);
    sweeping = false;
  }

  /** Why an exchange is not worth waiting for any longer. */
  function overdue(connection: ClientConnection): FailureReason | undefined {
    const exchange = connection.currentExchange();
    if (exchange === undefined) return undefined;
    if (exchange.isStreaming()) {
      // At the pace of its reader: who does not read is cut off by the server, which then cancels.
      return !connection.isPaused() && nowMs - connection.lastProgressMs > stallMs ? 'timed_out' : undefined;
    }
    if (exchange.request.isAbandoned()) return 'cancelled';
    if (nowMs > exchange.request.dueMs) return 'timed_out';
    if (!connection.isOpen() && nowMs - connection.lastProgressMs > connectTimeoutMs) return 'not_connected';
    return undefined;
  }
}

const handlers = {
  open: (socket: Bun.Socket<SocketBoundConnection>) => socket.data.onOpen(socket),
  data: (socket: Bun.Socket<SocketBoundConnection>, bytes: Buffer) => socket.data.onData(bytes),
  drain: (socket: Bun.Socket<SocketBoundConnection>) => socket.data.onDrain(),
  end: (socket: Bun.Socket<SocketBoundConnection>) => socket.data.onClose(),
  close: (socket: Bun.Socket<SocketBoundConnection>, error?: Error) => socket.data.onClose(error),
  error: (socket: Bun.Socket<SocketBoundConnection>, error: Error) => socket.data.onClose(error),
  connectError: (socket: Bun.Socket<SocketBoundConnection>, error: Error) => socket.data.onClose(error),
};

// Over TLS nothing is sent before the instance has proved who it is.
const secureHandlers = {
  ...handlers,
  open: () => undefined,
  handshake(socket: Bun.Socket<SocketBoundConnection>, success: boolean, error: Error | null) {
    if (success && error === null) socket.data.onOpen(socket);
    else socket.data.onClose(error ?? new Error('the TLS handshake failed'));
  },
};
