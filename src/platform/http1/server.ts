import type { Socket } from 'bun';
import { networkOf } from '../client-network.ts';
import type { Clock } from '../clock.ts';
import { problem } from '../problems.ts';
import { enforceDeadlines } from './connection-deadlines.ts';
import type { Http1Handler } from './http1-answer.ts';
import type { Reply } from './reply.ts';
import { createRequestHeadParser } from './request-head.ts';
import { ServerConnection } from './server-connection.ts';
import type { ServerConnectionOwner } from './server-limits.ts';
import type { ServerRequest } from './server-request.ts';

export interface Http1ServerOptions {
  hostname: string;
  /** 0 selects any free port. */
  port: number;
  /** Several processes may share the port (SO_REUSEPORT). */
  reusePort?: boolean;
  handle: Http1Handler;
  /**
   * The reply to an error: a problem, MalformedMessage, or anything that `handle` threw. `request` is undefined when
   * none could be read.
   */
  toErrorReply: (error: unknown, request: ServerRequest | undefined) => Reply;
  /** Headers that clients may not set: they are removed from requests. */
  strippedHeaders: readonly string[];
  clock: Clock;
  /** A request that is incomplete or unanswered after this time is answered with an error. */
  requestTimeoutMs: number;
  bodyBytesMax: number;
  /** Connections beyond this are answered 503; far beyond it they are closed without an answer. */
  connectionsMax: number;
  /** The same limit for one client network (`networkOf`), so that one client cannot use up all connections. */
  connectionsPerAddressMax?: number;
}

export interface Http1Server {
  url: string;
  port: number;
  connectionCount(): number;
  /** Stops accepting, waits at most `graceMs` for requests in flight, then closes all connections. */
  stop(graceMs: number): Promise<void>;
}

const headBytesMax = 16 * 1024;
// One sweep checks the deadlines of all connections: a timer for each request costs more.
const sweepMs = 100;
// How many connections beyond the limit are answered at a time: the answer occupies a connection for a moment.
const rejectedConnectionsMax = 100;
// Created once: the stack trace of an error costs more than the rest.
const tooManyConnections = problem('service.unavailable', {
  detail: 'too many connections',
  retryAfterSeconds: 1,
});

/** Serves HTTP/1.1 on a port: keep-alive, one request of a connection after the other. */
export function serveHttp1(options: Http1ServerOptions): Http1Server {
  const { clock } = options;
  const connections = new Set<ServerConnection>();
  const perNetwork = createCounts();
  const perNetworkMax = options.connectionsPerAddressMax ?? Number.POSITIVE_INFINITY;
  let isStopping = false;
  let isSweeping = false;
  let allClosed = Promise.withResolvers<void>();
  // Updated by each sweep: reading the clock at every step of a request is a good part of its cost.
  let nowMs = clock.nowMs();
  let date = dateLine(nowMs);

  const owner: ServerConnectionOwner = {
    handle: options.handle,
    toErrorReply: options.toErrorReply,
    parseHead: createRequestHeadParser(options.strippedHeaders),
    headBytesMax,
    bodyBytesMax: options.bodyBytesMax,
    requestTimeoutMs: options.requestTimeoutMs,
    nowMs: () => nowMs,
    dateLine: () => date,
    isStopping: () => isStopping,
  };

  const listener = Bun.listen<ServerConnection>({
    hostname: options.hostname,
    port: options.port,
    // This release's types of a listener lack both, but they work. A client may end its side and read on.
    ...{ reusePort: options.reusePort ?? false, allowHalfOpen: true },
    socket: {
      open(socket) {
        if (!isSweeping) void sweepWhileUsed();
        const connection = new ServerConnection(socket, owner);
        socket.data = connection;
        connections.add(connection);
        const networkCount = perNetwork.add(networkOf(connection.socket.peerAddress()));
        const excess = Math.max(connections.size - options.connectionsMax, networkCount - perNetworkMax);
        if (excess > 0) rejectConnection(connection, excess);
      },
      data: (socket: Socket<ServerConnection>, bytes: Buffer) => socket.data.onData(bytes),
      drain: (socket) => socket.data.onDrain(),
      end: (socket) => socket.data.onEnd(),
      close(socket) {
        connections.delete(socket.data);
        perNetwork.remove(networkOf(socket.data.socket.peerAddress()));
        socket.data.onClose();
        if (connections.size === 0) allClosed.resolve();
      },
      error: () => undefined,
    },
  });

  return {
    url: `http://${options.hostname}:${listener.port}`,
    port: listener.port,
    connectionCount: () => connections.size,
    async stop(graceMs) {
      isStopping = true;
      listener.stop();
      allClosed = Promise.withResolvers<void>();
      for (const connection of connections) connection.stop();
      const graceOver = new AbortController();
      if (connections.size > 0)
        await Promise.race([allClosed.promise, clock.sleep(graceMs, graceOver.signal)]);
      graceOver.abort();
      for (const connection of connections) connection.socket.terminate();
    },
  };

  function rejectConnection(connection: ServerConnection, excess: number): void {
    if (excess <= rejectedConnectionsMax) connection.reject(tooManyConnections);
    else connection.socket.terminate();
  }

  async function sweepWhileUsed(): Promise<void> {
    isSweeping = true;
    do {
      tick();
      await clock.sleep(sweepMs);
      tick();
      for (const connection of connections) enforceDeadlines(connection, owner, nowMs);
    } while (connections.size > 0);
    isSweeping = false;
  }

  function tick(): void {
    const before = Math.floor(nowMs / 1000);
    nowMs = clock.nowMs();
    if (Math.floor(nowMs / 1000) !== before) date = dateLine(nowMs);
  }
}

function createCounts() {
  const counts = new Map<string, number>();
  return {
    /** Returns the count including this one. */
    add(key: string): number {
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      return count;
    },
    remove(key: string): void {
      const remaining = (counts.get(key) ?? 0) - 1;
      if (remaining > 0) counts.set(key, remaining);
      else counts.delete(key);
    },
  };
}

const dateLine = (ms: number): string => `date: ${new Date(ms).toUTCString()}\r\n`;
