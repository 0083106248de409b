import type { Server, ServerWebSocket } from 'bun';
import { isWebSocketFetchRequest } from '../http-message/websocket-handshake.ts';
import { type Problem, problem } from '../problems.ts';
import { withBodyLength } from './body.ts';
import { problemResponse, toProblem } from './problem.ts';
import { createTimeouts } from './timeouts.ts';

/** Looks up the peer address of a request. It is read only where it is needed, because each look-up costs time. */
export interface PeerAddresses {
  /** The peer's IP address; empty when the peer has disconnected. */
  addressOf(request: Request): string;
}

/** Handles a request of this server. */
export type FetchHandler = (request: Request, peers: PeerAddresses) => Response | Promise<Response>;

/** A route that the server matches itself, before it calls `fetch`. */
export interface ServerRoute {
  method: 'GET' | 'POST' | 'PUT';
  /** A literal path without parameters. */
  path: string;
  fetch: FetchHandler;
}

/** The handlers of one live connection. Messages of one socket are handled one after the other. */
export interface SocketHandlers {
  open(socket: Socket): void;
  message(socket: Socket, data: string | Uint8Array): void | Promise<void>;
  close(socket: Socket, code: number, reason: string): void;
  /** The peer has read on, so data that was held back may be sent. */
  drain?(socket: Socket): void;
  pong?(socket: Socket): void;
}
export type Socket = ServerWebSocket<SocketHandlers>;

/** Publishes to many sockets at once. Bun encodes the text once and writes it natively. */
export interface SocketTopics {
  publish(topic: string, text: string): unknown;
  subscriberCount(topic: string): number;
}

/** A response that accepts a WebSocket. The server upgrades the connection and sends its headers with the 101. */
export class UpgradeResponse extends Response {
  constructor(readonly handlers: SocketHandlers) {
    super(null);
  }
}

export interface SocketRoute {
  path: string;
  /** Returns an UpgradeResponse to accept, or the response that rejects the handshake. */
  accept(request: Request, peers: PeerAddresses): Response | Promise<Response>;
  /** Called once the server listens, with the means to reach the sockets that subscribed to a topic. */
  attach?(topics: SocketTopics): void;
}

export interface ServeOptions {
  fetch: FetchHandler;
  routes?: readonly ServerRoute[];
  sockets: readonly SocketRoute[];
  /** Builds the response to a request that the server itself rejects or times out; a problem by default. */
  toErrorResponse?: (error: Problem, request: Request) => Response;
  hostname: string;
  /** 0 takes any free port. */
  port: number;
  /** Several processes may share the port (SO_REUSEPORT). */
  reusePort?: boolean;
  requestTimeoutMs: number;
  bodyBytesMax: number;
  frameBytesMax: number;
  /** Bytes that may wait for a slow reader before its connection is closed. */
  socketBufferBytesMax: number;
}

export interface HttpServer {
  url: string;
  port: number;
  connectionCount(): number;
  /** Stops accepting, waits at most `graceMs` for requests in flight, then closes all connections. */
  stop(graceMs: number): Promise<void>;
}

// Longer than a load balancer's 60 s, so that the server never closes a connection that the balancer is about to use.
const idleTimeoutSeconds = 75;
// More than one socket read can add to a body before its length is counted.
const readBytesMax = 1024 * 1024;

/** Serves HTTP and WebSockets on Bun's own server. */
export function serve(options: ServeOptions): HttpServer {
  const sockets = new Map(options.sockets.map((route) => [route.path, route]));
  const toErrorResponse = options.toErrorResponse ?? ((error: Problem) => problemResponse(error, undefined));
  const timeouts = createTimeouts(options.requestTimeoutMs, toErrorResponse);
  const peers: PeerAddresses = { addressOf: (request) => server.requestIP(request)?.address ?? '' };
  const server = Bun.serve<SocketHandlers, string>({
    hostname: options.hostname,
    port: options.port,
    reusePort: options.reusePort ?? false,
    idleTimeout: idleTimeoutSeconds,
    // Bodies over the limit are rejected with a problem. This is the hard limit behind it.
    maxRequestBodySize: options.bodyBytesMax + readBytesMax,
    routes: groupByPath(options.routes ?? [], run),
    fetch: (request, self) => respond(request, self),
    // No error should reach Bun. If one does, Bun's error page with source code must not be sent.
    development: false,
    error: (error) => problemResponse(toProblem(error), undefined),
    websocket: {
      maxPayloadLength: options.frameBytesMax,
      backpressureLimit: options.socketBufferBytesMax,
      closeOnBackpressureLimit: true,
      idleTimeout: idleTimeoutSeconds,
      sendPings: true,
      open: (socket) => socket.data.open(socket),
      message: (socket, data) => socket.data.message(socket, data),
      close: (socket, code, reason) => socket.data.close(socket, code, reason),
      drain: (socket) => socket.data.drain?.(socket),
      pong: (socket) => socket.data.pong?.(socket),
    },
  });

  for (const route of options.sockets) route.attach?.(server);

  function respond(request: Request, self: Server<SocketHandlers>) {
    if (!request.url.startsWith('http')) return respondWithoutUrl(request);
    if (isWebSocketFetchRequest(request)) {
      const route = sockets.get(new URL(request.url).pathname);
      if (route !== undefined) return upgrade(request, self, run(request, route.accept));
    }
    return run(request, options.fetch);
  }

  /**
   * Handles requests without an absolute URL. HTTP/1.0 allows a request without a Host. Other such requests have
   * an authority (CONNECT) or nothing as their target.
   */
  function respondWithoutUrl(request: Request) {
    if (!request.url.startsWith('/')) return toErrorResponse(problem('request.not_http'), request);
    const requestWithUrl = new Request(`http://localhost${request.url}`, request);
    return run(requestWithUrl, options.fetch, peersOf(request));
  }

  function run(request: Request, fetch: FetchHandler, from = peers) {
    const response =
      request.method === 'HEAD'
        ? runHead(request, fetch, from)
        : request.headers.has('transfer-encoding')
          ? runBuffered(request, fetch, from)
          : fetch(request, from);
    return response instanceof Promise ? timeouts.withTimeout(request, response) : response;
  }

  /** Handles HEAD like GET (RFC 9110, section 9.3.2). Bun removes the body, and also the date. */
  async function runHead(request: Request, fetch: FetchHandler, from: PeerAddresses): Promise<Response> {
    const getRequest = new Request(request.url, { headers: request.headers });
    const response = await fetch(getRequest, { addressOf: () => from.addressOf(request) });
    response.headers.set('date', new Date().toUTCString());
    return response;
  }

  /** Counts the bytes of a body of unknown length as they arrive. All other code checks only the announced length. */
  async function runBuffered(request: Request, fetch: FetchHandler, from: PeerAddresses): Promise<Response> {
    let buffered: Request;
    try {
      buffered = await withBodyLength(request, options.bodyBytesMax);
    } catch (error) {
      return toErrorResponse(toProblem(error), request);
    }
    return fetch(buffered, { addressOf: () => from.addressOf(request) });
  }

  function peersOf(native: Request): PeerAddresses {
    return { addressOf: () => peers.addressOf(native) };
  }

  return {
    url: `http://${options.hostname}:${server.port}`,
    port: server.port ?? 0,
    connectionCount: () => server.pendingWebSockets,
    async stop(graceMs) {
      const drained = server.stop(false);
      const graceEnd = Promise.withResolvers<void>();
      const timer = setTimeout(graceEnd.resolve, graceMs);
      await Promise.race([drained, graceEnd.promise]);
      clearTimeout(timer);
      await server.stop(true);
    },
  };
}

async function upgrade(
  request: Request,
  server: Server<SocketHandlers>,
  pendingResponse: Response | Promise<Response>,
) {
  let response: Response;
  try {
    response = await pendingResponse;
  } catch (error) {
    return problemResponse(toProblem(error), undefined);
  }
  if (!(response instanceof UpgradeResponse)) return response;
  if (server.upgrade(request, { data: response.handlers, headers: response.headers })) return undefined;
  return problemResponse(problem('request.invalid', { detail: 'not a WebSocket handshake' }), undefined);
}

type BunRouteHandler = (request: Request) => Response | Promise<Response>;

/** Routes by path and method, in the shape that Bun expects. Methods that are not listed fall through to `fetch`. */
function groupByPath(
  routes: readonly ServerRoute[],
  run: (request: Request, fetch: FetchHandler) => ReturnType<BunRouteHandler>,
) {
  const handlers: Record<string, Partial<Record<ServerRoute['method'], BunRouteHandler>>> = {};
  for (const { method, path, fetch } of routes)
    handlers[path] = { ...handlers[path], [method]: (request: Request) => run(request, fetch) };
  return handlers;
}
