import type { Server, ServerWebSocket } from 'bun';
import { fault } from '../faults.ts';
import { problemResponse, toFault } from './problem.ts';

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

export interface SocketRoute {
  path: string;
  /** The handlers of the new connection, or the Response that refuses it. */
  accept(request: Request, address: string): SocketHandlers | Response | Promise<SocketHandlers | Response>;
}

export interface ServeOptions {
  /** The app's own fetch; `address` is the peer's IP. */
  fetch: (request: Request) => Response | Promise<Response>;
  sockets: readonly SocketRoute[];
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
  connections(): number;
  /** Stops accepting, waits for requests under way for at most `graceMs`, then closes all. */
  stop(graceMs: number): Promise<void>;
}

/** Peer addresses by request, for limits and logs: Bun tells them only through its server. */
const addresses = new WeakMap<Request, string>();
export const peerAddress = (request: Request): string => addresses.get(request) ?? '';

// Above a load balancer's 60 s, so that it is never us who close a connection that it is about to use.
const idleTimeoutSeconds = 75;

export function serve(options: ServeOptions): HttpServer {
  const routes = new Map(options.sockets.map((route) => [route.path, route]));
  const server = Bun.serve<SocketHandlers, never>({
    hostname: options.hostname,
    port: options.port,
    reusePort: options.reusePort ?? false,
    idleTimeout: idleTimeoutSeconds,
    // Bodies over the app's own limit are refused with a problem; this is the wall behind it.
    maxRequestBodySize: options.bodyBytesMax * 2,
    fetch: (request, self) => answer(request, self),
    // Nothing should get here; if it does, no page of Bun's with our source may leave.
    development: false,
    error: (error) => problemResponse(toFault(error), undefined),
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

  function answer(request: Request, self: Server<SocketHandlers>) {
    const address = self.requestIP(request)?.address ?? '';
    addresses.set(request, address);
    if (request.headers.get('upgrade')?.toLowerCase() === 'websocket') {
      const route = routes.get(new URL(request.url).pathname);
      if (route !== undefined) return upgrade(request, self, route, address);
    }
    const answered = options.fetch(request);
    return answered instanceof Promise ? withinTime(answered, options.requestTimeoutMs) : answered;
  }

  return {
    url: `http://${options.hostname}:${server.port}`,
    port: server.port ?? 0,
    connections: () => server.pendingWebSockets,
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
  route: SocketRoute,
  address: string,
) {
  let accepted: SocketHandlers | Response;
  try {
    accepted = await route.accept(request, address);
  } catch (error) {
    return problemResponse(toFault(error), undefined);
  }
  if (accepted instanceof Response) return accepted;
  if (server.upgrade(request, { data: accepted })) return undefined;
  return problemResponse(fault('request.invalid', { detail: 'not a WebSocket handshake' }), undefined);
}

/** A hung dependency must never hang its callers: past the bound they are told that the outcome is unknown. */
function withinTime(answer: Promise<Response>, timeoutMs: number): Promise<Response> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () =>
        resolve(
          problemResponse(
            fault('service.unavailable', { detail: 'no answer in time', retryAfterSeconds: 1 }),
            undefined,
          ),
        ),
      timeoutMs,
    );
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
