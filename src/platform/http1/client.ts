import type { Clock } from '../clock.ts';
import { type Connection, createConnection, type Wire } from './connection.ts';
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
  connections(): number;
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
  const busy = new Set<Connection>();
  /** The one used last is used next, so that those not needed any more grow old. */
  const idle: Connection[] = [];
  let retired = false;
  let sweeping = false;
  /** As of the last look. */
  let nowMs = clock.nowMs();

  const owner = {
    host,
    headBytesMax: options.headBytesMax ?? headBytes,
    nowMs: () => nowMs,
    free(connection: Connection) {
      busy.delete(connection);
      if (retired || idle.length >= idleConnectionsMax) return connection.destroy('cancelled');
      connection.idleSinceMs = nowMs;
      idle.push(connection);
    },
    gone(connection: Connection) {
      busy.delete(connection);
      const at = idle.indexOf(connection);
      if (at >= 0) idle.splice(at, 1);
    },
  };

  return {
    send(request) {
      if (request.isGone()) return Promise.reject(new ExchangeFailure('cancelled', false));
      if (!sweeping) void sweepWhileUsed();
      const exchange = new Exchange(request);
      const connection = idle.pop() ?? open();
      busy.add(connection);
      connection.run(exchange);
      return exchange.response;
    },
    connections: () => busy.size + idle.length,
    retire() {
      retired = true;
      for (const connection of [...idle]) connection.destroy('cancelled');
    },
    close() {
      retired = true;
      for (const connection of [...idle, ...busy]) connection.destroy('cancelled');
    },
  };

  function open(): Connection {
    const wire = createConnection(owner);
    Bun.connect<Wire>({
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port) || (secure ? 443 : 80),
      ...(secure ? { tls: { serverName: hostname } } : {}),
      data: wire,
      socket: secure ? secureHandlers : handlers,
    }).catch((error: unknown) => wire.closed(error));
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
  function overdue(connection: Connection): FailureReason | undefined {
    const exchange = connection.exchange();
    if (exchange === undefined) return undefined;
    if (exchange.streams()) {
      // At the pace of its reader: who does not read is cut off by the server, which then cancels.
      return !connection.isPaused() && nowMs - connection.progressMs > stallMs ? 'timed_out' : undefined;
    }
    if (exchange.request.isGone()) return 'cancelled';
    if (nowMs > exchange.request.dueMs) return 'timed_out';
    if (!connection.isOpen() && nowMs - connection.progressMs > connectTimeoutMs) return 'not_connected';
    return undefined;
  }
}

const handlers = {
  open: (socket: Bun.Socket<Wire>) => socket.data.opened(socket),
  data: (socket: Bun.Socket<Wire>, bytes: Buffer) => socket.data.received(bytes),
  drain: (socket: Bun.Socket<Wire>) => socket.data.drained(),
  end: (socket: Bun.Socket<Wire>) => socket.data.closed(),
  close: (socket: Bun.Socket<Wire>, error?: Error) => socket.data.closed(error),
  error: (socket: Bun.Socket<Wire>, error: Error) => socket.data.closed(error),
  connectError: (socket: Bun.Socket<Wire>, error: Error) => socket.data.closed(error),
};

// Over TLS nothing is sent before the instance has proved who it is.
const secureHandlers = {
  ...handlers,
  open: () => undefined,
  handshake(socket: Bun.Socket<Wire>, success: boolean, error: Error | null) {
    if (success && error === null) socket.data.opened(socket);
    else socket.data.closed(error ?? new Error('the TLS handshake failed'));
  },
};
