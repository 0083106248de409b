import { headers } from '@contracts/common.ts';
import type { Principal } from '../auth/verifier.ts';
import { bufferedBodyBytesMax } from '../http-message/body-limits.ts';
import { fieldsListedInConnection } from '../http-message/connection-fields.ts';
import { isWebSocketFetchRequest } from '../http-message/websocket-handshake.ts';
import { type Problem, problem } from '../problems.ts';
import { readText } from './body.ts';
import { problemResponse } from './problem.ts';
import type { PeerAddresses } from './server.ts';

/** The view of a request that the edge reads, independent of the server that received it. */
export interface EdgeRequest {
  readonly method: string;
  /** The path without the query, normalized so that all readers see the same path. */
  readonly path: string;
  /** The value of a header, by its lower-case name. Several values are joined by commas. */
  header(name: string): string | undefined;
  /** The IP address at the other end of the connection. */
  readonly peerAddress: string;
  /** Whether the request is a WebSocket handshake. */
  readonly isHandshake: boolean;
  /** Settles once the body has arrived; undefined when there is nothing to wait for. */
  pendingBody(): Promise<unknown> | undefined;
}

/**
 * Headers that only the edge sets, in both topologies. Values from clients never pass the edge, because services
 * trust these headers.
 */
export const edgeOnlyHeaders: readonly string[] = [
  headers.serviceToken,
  headers.deadline,
  headers.requestId,
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-port',
  'x-real-ip',
];

/** What the edge knows of an admitted request. */
export interface RequestInfo {
  requestId: string;
  /** The client's IP address. A method, because the look-up costs time and few handlers need it. */
  clientAddress(): string;
  /** The host that the client requested, if it is valid in a header line. */
  clientHost(): string | undefined;
  clientProtocol(): string;
  /** The time in Unix milliseconds by which the response is due. */
  dueMs: number;
  /** The authenticated caller, on a route that requires a token. */
  principal: Principal | undefined;
}

/** Handles the requests that the edge admits: the contexts of this process, or the proxy to them. Throws problems. */
export type Handler<Incoming, Outgoing, Info extends RequestInfo = RequestInfo> = (
  request: Incoming,
  info: Info,
) => Outgoing | Promise<Outgoing>;

/** A lower-case name, and a value that is valid in a header line. */
export type HeaderLine = readonly [name: string, value: string];

/** Builds and extends the responses of one kind of server. */
export interface ResponseAdapter<Outgoing> {
  problem(problem: Problem, requestId: string | undefined): Outgoing;
  /** A 204 with these headers. */
  noContent(lines: readonly HeaderLine[]): Outgoing;
  /** Adds headers. A name that is already present gets a second line. */
  addHeaders(response: Outgoing, lines: readonly HeaderLine[]): void;
  /** Adds the two headers of draft-ietf-httpapi-ratelimit-headers. */
  addRateLimit(response: Outgoing, policy: string, limit: string): void;
}

/** For Bun's server and the Elysia apps. */
export const fetchResponseAdapter: ResponseAdapter<Response> = {
  problem: problemResponse,
  noContent: (lines) =>
    new Response(null, { status: 204, headers: lines.map(([name, value]) => [name, value]) }),
  addHeaders({ headers }, lines) {
    for (const [name, value] of lines) headers.append(name, value);
  },
  addRateLimit({ headers }, policy, limit) {
    headers.set('ratelimit-policy', policy);
    headers.set('ratelimit', limit);
  },
};

/** The edge's view of a request to Bun's server. */
export class FetchRequest implements EdgeRequest {
  readonly method: string;
  readonly path: string;

  constructor(
    readonly native: Request,
    readonly peers: PeerAddresses,
    /** Given when the server already matched it, because reading the URL costs half a microsecond. */
    path?: string,
  ) {
    this.method = native.method;
    this.path = path ?? pathOf(native.url);
    dropConnectionHeaders(native.headers);
  }

  header(name: string): string | undefined {
    return this.native.headers.get(name) ?? undefined;
  }

  get peerAddress(): string {
    return this.peers.addressOf(this.native);
  }

  get isHandshake(): boolean {
    return isWebSocketFetchRequest(this.native);
  }

  /** Like the HTTP/1.1 server. Bun delivers every body shortly after its head, and some arrive slowly. */
  pendingBody(): Promise<unknown> | undefined {
    if (this.method === 'GET' || this.method === 'HEAD') return undefined;
    const length = Number(this.native.headers.get('content-length') ?? 0);
    if (!(length > 0 && length <= bufferedBodyBytesMax)) return undefined;
    return readText(this.native).catch(throwClientDisconnected);
  }
}

function throwClientDisconnected(cause: unknown): never {
  throw problem('request.invalid', { detail: 'the client disconnected', cause });
}

/** Removes headers that `Connection` lists, like the HTTP/1.1 server: they end at this hop (RFC 9110, section 7.6.1). */
function dropConnectionHeaders(headers: Headers): void {
  const connection = headers.get('connection');
  if (connection !== null) for (const name of fieldsListedInConnection(connection)) headers.delete(name);
}

/** Cuts the path out without parsing, because the server has already built a valid URL. */
function pathOf(url: string): string {
  const from = url.indexOf('/', url.indexOf('://') + 3);
  const query = url.indexOf('?', from);
  return query < 0 ? url.slice(from) : url.slice(from, query);
}
