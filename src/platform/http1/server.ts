import type { Socket } from 'bun';
import { networkOf } from '../client-network.ts';
import type { Clock } from '../clock.ts';
import { problem } from '../problems.ts';
import type { BinaryString } from './binary.ts';
import type { Reply } from './reply.ts';
import { createRequestHeadParser } from './request-head.ts';
import { ServerConnection } from './server-connection.ts';
import type { ServerConnectionOwner } from './server-limits.ts';
import type { ServerRequest } from './server-request.ts';

/** What goes over a connection once its request was answered with another protocol. */
export interface ProtocolUpgrade {
  /** What is sent first, head and all. */
  openingBytes: BinaryString;
  /** Begins; from now on all that comes on the connection goes to what is returned. */
  start(peer: UpgradedPeer): UpgradedConnectionHandler;
  /** The client went away before. */
  abandon(): void;
}
export interface UpgradedPeer {
  /** How many of the bytes were taken; the others must wait for `drained`. */
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  end(): void;
}
export interface UpgradedConnectionHandler {
  onData(bytes: Buffer): void;
  onDrain(): void;
  onClose(): void;
  /** The server stops: says so in its own protocol, if it can. */
  onServerStop(): void;
}

export type Http1Answer = Reply | ProtocolUpgrade;
/** Answers a request: at once where it can, since waiting costs. What it throws is answered by `failed`. */
export type Http1Handler = (request: ServerRequest) => Http1Answer | Promise<Http1Answer>;

export interface Http1ServerOptions {
  hostname: string;
  /** 0 takes any free port. */
  port: number;
  /** Several processes may share the port (SO_REUSEPORT). */
  reusePort?: boolean;
  handle: Http1Handler;
  /**
   * What is told of an error: a fault, MalformedMessage, or anything that `handle` threw. Without a request when
   * none could be read.
   */
  toErrorReply: (error: unknown, request: ServerRequest | undefined) => Reply;
  /** Headers that clients may not say to whoever is behind `handle`. */
  strippedHeaders: readonly string[];
  clock: Clock;
  /** A request that is not whole, or not answered, after so long hears that it took too long. */
  requestTimeoutMs: number;
  bodyBytesMax: number;
  /** One more hears that there is no room; far more hear nothing. */
  connectionsMax: number;
  /** The same of one address (`networkOf`), so that one cannot take the room of all. */
  connectionsPerAddressMax?: number;
}

export interface Http1Server {
  url: string;
  port: number;
  connectionCount(): number;
  /** Stops accepting, waits for requests under way for at most `graceMs`, then closes all. */
  stop(graceMs: number): Promise<void>;
}

const headBytesMax = 16 * 1024;
// Deadlines of all connections are looked at in one go: a timer for each request costs more than the look.
const sweepMs = 100;
// Of those who find no room so many at once are told so: to be told takes a connection too, for a moment.
const turnedAwayMax = 100;
// Made once: an error's stack would cost more than the rest.
const full = problem('service.unavailable', { detail: 'no room for more connections', retryAfterSeconds: 1 });

/** Serves HTTP/1.1 on a port: keep-alive, one request of a connection after the other. */
export function serveHttp1(options: Http1ServerOptions): Http1Server {
  const { clock } = options;
  const connections = new Set<ServerConnection>();
  const perAddress = createCounts();
  const perAddressMax = options.connectionsPerAddressMax ?? Number.POSITIVE_INFINITY;
  let stopping = false;
  let sweeping = false;
  let gone = Promise.withResolvers<void>();
  // Told anew with each look: to ask the clock for every step of a request is a good part of what it costs.
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
    isStopping: () => stopping,
  };

  const listener = Bun.listen<ServerConnection>({
    hostname: options.hostname,
    port: options.port,
    // Not in the types of this release for a listener, but listened to. A client may end its side and read on.
    ...{ reusePort: options.reusePort ?? false, allowHalfOpen: true },
    socket: {
      open(socket) {
        if (!sweeping) void sweepWhileUsed();
        const connection = new ServerConnection(socket, owner);
        socket.data = connection;
        connections.add(connection);
        const ofAddress = perAddress.add(networkOf(connection.peerAddress()));
        const excess = Math.max(connections.size - options.connectionsMax, ofAddress - perAddressMax);
        if (excess > 0) turnAway(connection, excess);
      },
      data: (socket: Socket<ServerConnection>, bytes: Buffer) => socket.data.onData(bytes),
      drain: (socket) => socket.data.onDrain(),
      end: (socket) => socket.data.onEnd(),
      close(socket) {
        connections.delete(socket.data);
        perAddress.remove(networkOf(socket.data.peerAddress()));
        socket.data.onClose();
        if (connections.size === 0) gone.resolve();
      },
      error: () => undefined,
    },
  });

  return {
    url: `http://${options.hostname}:${listener.port}`,
    port: listener.port,
    connectionCount: () => connections.size,
    async stop(graceMs) {
      stopping = true;
      listener.stop();
      gone = Promise.withResolvers<void>();
      for (const connection of connections) connection.stop();
      const late = new AbortController();
      if (connections.size > 0) await Promise.race([gone.promise, clock.sleep(graceMs, late.signal)]);
      late.abort();
      for (const connection of connections) connection.terminate();
    },
  };

  function turnAway(connection: ServerConnection, excess: number): void {
    if (excess <= turnedAwayMax) connection.reject(full);
    else connection.terminate();
  }

  async function sweepWhileUsed(): Promise<void> {
    sweeping = true;
    do {
      tick();
      await clock.sleep(sweepMs);
      tick();
      for (const connection of connections) connection.enforceTimeouts(nowMs);
    } while (connections.size > 0);
    sweeping = false;
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
    /** How many there are with this one. */
    add(key: string): number {
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      return count;
    },
    remove(key: string): void {
      const left = (counts.get(key) ?? 0) - 1;
      if (left > 0) counts.set(key, left);
      else counts.delete(key);
    },
  };
}

const dateLine = (ms: number): string => `date: ${new Date(ms).toUTCString()}\r\n`;
