import { headers } from '@contracts/common.ts';
import type { Principal } from '../auth/verifier.ts';
import { isWebSocketFetchRequest } from '../http-message/websocket-handshake.ts';
import { fieldsListedInConnection } from '../http1/fields.ts';
import type { Http1Answer } from '../http1/server.ts';
import { bufferedBodyBytesMax } from '../http1/server-request.ts';
import { type Problem, problem } from '../problems.ts';
import { readText } from './body.ts';
import { problemReply, problemResponse } from './problem.ts';
import type { PeerAddresses } from './server.ts';

/** What the edge reads of a request, whichever server it came to. */
export interface EdgeRequest {
  readonly method: string;
  /** Without the query, in the one spelling that all readers understand. */
  readonly path: string;
  /** The value of a header, by its name in lower case; several are joined by commas. */
  header(name: string): string | undefined;
  /** The IP address at the other end of the connection. */
  readonly peerAddress: string;
  /** It opens a WebSocket if it is agreed to. */
  readonly isHandshake: boolean;
  /** Settles with a body that is still on its way; undefined where nothing has to be waited for. */
  pendingBody(): Promise<unknown> | undefined;
}

/**
 * Headers that only the edge sets, in both topologies: what a client writes there never gets past it, since
 * services believe them.
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

/** What the edge knows of a request that it lets in. */
export interface RequestInfo {
  requestId: string;
  /** The client's IP address; asked for where it matters, since each answer costs. */
  clientAddress(): string;
  /** The name that the client asked for, if it is fit for a header line. */
  clientHost(): string | undefined;
  clientProtocol(): string;
  /** Unix milliseconds until which the answer must be there. */
  dueMs: number;
  /** Of a route that needs a token. */
  principal: Principal | undefined;
}

/** Handles the requests that the edge admits: the contexts of this process, or the proxy to them. Throws problems. */
export type Handler<Asked, Answer, Info extends RequestInfo = RequestInfo> = (
  request: Asked,
  info: Info,
) => Answer | Promise<Answer>;

/** Its name in lower case, and a value that is fit for a header line. */
export type HeaderLine = readonly [name: string, value: string];

/** How a server's answers are made and added to. */
export interface ResponseAdapter<Answer> {
  problem(fault: Problem, requestId: string | undefined): Answer;
  /** 204 with these headers. */
  noContent(lines: readonly HeaderLine[]): Answer;
  /** Adds headers; of a name that is there already there are two lines then. */
  addHeaders(answer: Answer, lines: readonly HeaderLine[]): void;
  /** The two headers of draft-ietf-httpapi-ratelimit-headers. */
  addRateLimit(answer: Answer, policy: string, left: string): void;
}

/** Of our own server. To an answer in another protocol nothing is added. */
export const http1ResponseAdapter: ResponseAdapter<Http1Answer> = {
  problem: problemReply,
  noContent: (lines) => ({ status: 204, lines: textOf(lines), body: undefined }),
  addHeaders(answer, lines) {
    if (!('start' in answer)) answer.lines += textOf(lines);
  },
  addRateLimit(answer, policy, left) {
    if (!('start' in answer)) answer.lines += `ratelimit-policy: ${policy}\r\nratelimit: ${left}\r\n`;
  },
};

const textOf = (lines: readonly HeaderLine[]): string =>
  lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');

/** Of Bun's server, and of the apps. */
export const fetchResponseAdapter: ResponseAdapter<Response> = {
  problem: problemResponse,
  noContent: (lines) =>
    new Response(null, { status: 204, headers: lines.map(([name, value]) => [name, value]) }),
  addHeaders({ headers }, lines) {
    for (const [name, value] of lines) headers.append(name, value);
  },
  addRateLimit({ headers }, policy, left) {
    headers.set('ratelimit-policy', policy);
    headers.set('ratelimit', left);
  },
};

/** A request that came to Bun's server, as the edge reads it. */
export class FetchRequest implements EdgeRequest {
  readonly method: string;
  readonly path: string;

  constructor(
    readonly native: Request,
    readonly peers: PeerAddresses,
    /** Where the server has found it already: to ask for the URL costs half a microsecond. */
    path?: string,
  ) {
    this.method = native.method;
    this.path = path ?? pathOf(native.url);
    dropListed(native.headers);
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

  /** As our own server does: Bun hands over every body a moment after its head, and some come slowly. */
  pendingBody(): Promise<unknown> | undefined {
    if (this.method === 'GET' || this.method === 'HEAD') return undefined;
    const length = Number(this.native.headers.get('content-length') ?? 0);
    if (!(length > 0 && length <= bufferedBodyBytesMax)) return undefined;
    return readText(this.native).catch(clientGone);
  }
}

function clientGone(cause: unknown): never {
  throw problem('request.invalid', { detail: 'the client went away', cause });
}

/** As our own server does: headers that `Connection` names end at this hop (RFC 9110, section 7.6.1). */
function dropListed(headers: Headers): void {
  const connection = headers.get('connection');
  if (connection !== null) for (const name of fieldsListedInConnection(connection)) headers.delete(name);
}

/** Cut out, not parsed: the server has made a proper URL of it. */
function pathOf(url: string): string {
  const from = url.indexOf('/', url.indexOf('://') + 3);
  const query = url.indexOf('?', from);
  return query < 0 ? url.slice(from) : url.slice(from, query);
}
