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
  /** `http://` or `https://` with host and port; a path is ignored. */
  url: string;
  clock: Clock;
  connectTimeoutMs: number;
  /** The limit of each head that an instance sends, and of its trailers. */
  headBytesMax?: number;
}

/** Sends requests to one instance over HTTP/1.1, on connections that it keeps. */
export interface Http1Client {
  /** Resolves to the answer; rejects with ExchangeFailure. The caller must bound the number of requests in flight. */
  send(request: OutgoingRequest): Promise<Reply>;
  connectionCount(): number;
  /** Keeps no connection any more: each closes after the exchange in flight on it. */
  retire(): void;
  /** Closes all connections immediately. */
  close(): void;
}

const headBytesMaxDefault = 16 * 1024;
// Shorter than the 75 s after which our services close an idle connection, so that they never close one that is
// about to be used.
const idleMsMax = 30_000;
const idleConnectionsMax = 256;
// One sweep finds passed deadlines and clients that disconnected: a timer and a listener for each request cost
// more.
const sweepMs = 50;
// An answer that brings no bytes for this long, although its reader waits for them, counts as lost.
const stallMs = 30_000;

export function createHttp1Client(options: Http1ClientOptions): Http1Client {
  const { clock, connectTimeoutMs } = options;
  const { hostname, port, protocol, host } = new URL(options.url);
  const isSecure = protocol === 'https:';
  const busy = new Set<ClientConnection>();
  /** The one used last is used next, so that connections that are no longer needed time out. */
  const idle: ClientConnection[] = [];
  let isRetired = false;
  let isSweeping = false;
  /** Updated by each sweep. */
  let nowMs = clock.nowMs();

  const owner = {
    host,
    headBytesMax: options.headBytesMax ?? headBytesMaxDefault,
    nowMs: () => nowMs,
    onIdle(connection: ClientConnection) {
      busy.delete(connection);
      if (isRetired || idle.length >= idleConnectionsMax) return connection.destroy('cancelled');
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
      if (!isSweeping) void sweepWhileUsed();
      const exchange = new Exchange(request);
      const connection = idle.pop() ?? open();
      busy.add(connection);
      connection.start(exchange);
      return exchange.response;
    },
    connectionCount: () => busy.size + idle.length,
    retire() {
      isRetired = true;
      for (const connection of [...idle]) connection.destroy('cancelled');
    },
    close() {
      isRetired = true;
      for (const connection of [...idle, ...busy]) connection.destroy('cancelled');
    },
  };

  function open(): ClientConnection {
    const connection = createClientConnection(owner);
    Bun.connect<SocketBoundConnection>({
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port) || (isSecure ? 443 : 80),
      ...(isSecure ? { tls: { serverName: hostname } } : {}),
      data: connection,
      socket: isSecure ? secureHandlers : handlers,
    }).catch((error: unknown) => connection.onClose(error));
    return connection;
  }

  async function sweepWhileUsed(): Promise<void> {
    isSweeping = true;
    do {
      nowMs = clock.nowMs();
      await clock.sleep(sweepMs);
      nowMs = clock.nowMs();
      for (const connection of busy) {
        const reason = findFailure(connection);
        if (reason !== undefined) connection.destroy(reason);
      }
      while (idle[0] !== undefined && nowMs - idle[0].idleSinceMs > idleMsMax) idle[0].destroy('cancelled');
    } while (busy.size + idle.length > 0);
    isSweeping = false;
  }

  /** Why an exchange must end now, if it must. */
  function findFailure(connection: ClientConnection): FailureReason | undefined {
    const exchange = connection.currentExchange();
    if (exchange === undefined) return undefined;
    if (exchange.isStreaming()) {
      // It arrives at the pace of its reader. A reader that stalls is disconnected by the server, which then cancels.
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

// Over TLS nothing is sent before the instance is authenticated.
const secureHandlers = {
  ...handlers,
  open: () => undefined,
  handshake(socket: Bun.Socket<SocketBoundConnection>, success: boolean, error: Error | null) {
    if (success && error === null) socket.data.onOpen(socket);
    else socket.data.onClose(error ?? new Error('TLS handshake failed'));
  },
};
