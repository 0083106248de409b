import type { Server, ServerWebSocket } from 'bun';
import { isWebSocketFetchRequest } from '../http-message/websocket-handshake.ts';
import { type Problem, problem } from '../problems.ts';
import { withBodyLength } from './body.ts';
import { problemResponse, toProblem } from './problem.ts';
import { createTimeouts } from './timeouts.ts';

/** Tells who is at the other end of a request: asked only where it matters, since each answer costs. */
export interface PeerAddresses {
  /** The peer's IP address; empty when it has gone. */
  addressOf(request: Request): string;
}

/** Answers a request of this server. */
export type FetchHandler = (request: Request, peers: PeerAddresses) => Response | Promise<Response>;

/** A route that the server itself finds, before `fetch` is asked. */
export interface ServerRoute {
  method: 'GET' | 'POST' | 'PUT';
  /** As it is, without parameters. */
  path: string;
  fetch: FetchHandler;
}

/** What a live connection does; one object for each socket. Messages of one socket come one after the other. */
export interface SocketHandlers {
  open(socket: Socket): void;
  message(socket: Socket, data: string | Uint8Array): void | Promise<void>;
  close(socket: Socket, code: number, reason: string): void;
  /** The peer has read on: what was held back may be sent. */
  drain?(socket: Socket): void;
  pong?(socket: Socket): void;
}
export type Socket = ServerWebSocket<SocketHandlers>;

/** What goes to many sockets at once: made into bytes once, written by Bun itself. */
export interface SocketTopics {
  publish(topic: string, text: string): unknown;
  subscriberCount(topic: string): number;
}

/** The answer that agrees to a WebSocket: the server switches, and its headers go with the 101. */
export class UpgradeResponse extends Response {
  constructor(readonly handlers: SocketHandlers) {
    super(null);
  }
}

export interface SocketRoute {
  path: string;
  /** A UpgradeResponse, or the answer that refuses. */
  accept(request: Request, peers: PeerAddresses): Response | Promise<Response>;
  /** Called once it listens: how to reach the sockets that subscribed to a topic. */
  attach?(topics: SocketTopics): void;
}

export interface ServeOptions {
  fetch: FetchHandler;
  routes?: readonly ServerRoute[];
  sockets: readonly SocketRoute[];
  /** Makes the answer to a request that the server refuses or gives up by itself; a problem by default. */
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
  /** Stops accepting, waits for requests under way for at most `graceMs`, then closes all. */
  stop(graceMs: number): Promise<void>;
}

// Above a load balancer's 60 s, so that it is never us who close a connection that it is about to use.
const idleTimeoutSeconds = 75;
// More than one read of a socket can bring of a body before anybody could have counted it.
const readBytesMax = 1024 * 1024;

export function serve(options: ServeOptions): HttpServer {
  const sockets = new Map(options.sockets.map((route) => [route.path, route]));
  const failed = options.toErrorResponse ?? ((error: Problem) => problemResponse(error, undefined));
  const timeouts = createTimeouts(options.requestTimeoutMs, failed);
  const peers: PeerAddresses = { addressOf: (request) => server.requestIP(request)?.address ?? '' };
  const server = Bun.serve<SocketHandlers, string>({
    hostname: options.hostname,
    port: options.port,
    reusePort: options.reusePort ?? false,
    idleTimeout: idleTimeoutSeconds,
    // Bodies over the limit are refused with a problem; this is the wall behind it.
    maxRequestBodySize: options.bodyBytesMax + readBytesMax,
    routes: byPath(options.routes ?? [], run),
    fetch: (request, self) => answer(request, self),
    // Nothing should get here; if it does, no page of Bun's with our source may leave.
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

  function answer(request: Request, self: Server<SocketHandlers>) {
    if (!request.url.startsWith('http')) return answerWithoutUrl(request);
    if (isWebSocketFetchRequest(request)) {
      const route = sockets.get(new URL(request.url).pathname);
      if (route !== undefined) return upgrade(request, self, run(request, route.accept));
    }
    return run(request, options.fetch);
  }

  /** HTTP/1.0 may come without a Host. Other requests have no URL as their target is an authority (CONNECT), or none. */
  function answerWithoutUrl(request: Request) {
    if (!request.url.startsWith('/')) return failed(problem('request.not_http'), request);
    const named = new Request(`http://localhost${request.url}`, request);
    return run(named, options.fetch, peersOf(request));
  }

  function run(request: Request, fetch: FetchHandler, from = peers) {
    const answered =
      request.method === 'HEAD'
        ? runHead(request, fetch, from)
        : request.headers.has('transfer-encoding')
          ? runWhole(request, fetch, from)
          : fetch(request, from);
    return answered instanceof Promise ? timeouts.withTimeout(request, answered) : answered;
  }

  /** HEAD is answered as GET is (RFC 9110, section 9.3.2). Bun leaves out the body, and the date too. */
  async function runHead(request: Request, fetch: FetchHandler, from: PeerAddresses): Promise<Response> {
    const asked = new Request(request.url, { headers: request.headers });
    const response = await fetch(asked, { addressOf: () => from.addressOf(request) });
    response.headers.set('date', new Date().toUTCString());
    return response;
  }

  /** A body that does not tell its length is counted as it comes: everybody else looks at the length alone. */
  async function runWhole(request: Request, fetch: FetchHandler, from: PeerAddresses): Promise<Response> {
    let whole: Request;
    try {
      whole = await withBodyLength(request, options.bodyBytesMax);
    } catch (error) {
      return failed(toProblem(error), request);
    }
    return fetch(whole, { addressOf: () => from.addressOf(request) });
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
      const late = Promise.withResolvers<void>();
      const timer = setTimeout(late.resolve, graceMs);
      await Promise.race([drained, late.promise]);
      clearTimeout(timer);
      await server.stop(true);
    },
  };
}

async function upgrade(
  request: Request,
  server: Server<SocketHandlers>,
  answering: Response | Promise<Response>,
) {
  let answer: Response;
  try {
    answer = await answering;
  } catch (error) {
    return problemResponse(toProblem(error), undefined);
  }
  if (!(answer instanceof UpgradeResponse)) return answer;
  if (server.upgrade(request, { data: answer.handlers, headers: answer.headers })) return undefined;
  return problemResponse(problem('request.invalid', { detail: 'not a WebSocket handshake' }), undefined);
}

type Handle = (request: Request) => Response | Promise<Response>;

/** Bun finds the path; of a path with several methods each has its handler, and all others fall to `fetch`. */
function byPath(
  routes: readonly ServerRoute[],
  run: (request: Request, fetch: FetchHandler) => ReturnType<Handle>,
) {
  const found: Record<string, Partial<Record<ServerRoute['method'], Handle>>> = {};
  for (const { method, path, fetch } of routes)
    found[path] = { ...found[path], [method]: (request: Request) => run(request, fetch) };
  return found;
}
