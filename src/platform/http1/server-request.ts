import { isWebSocketHandshake } from '../http-message/websocket-handshake.ts';
import type { BinaryString } from './binary.ts';
import type { IncomingBody } from './incoming-body.ts';
import { fieldValue, type RequestHead } from './request-head.ts';

/** The connection that a request came on. */
export interface RequestConnection {
  isInFlight(request: ServerRequest): boolean;
  peerAddress(): string;
}

// A body up to this, or of a length that was not told, is taken in before anybody is asked: a slow sender
// occupies nobody but the connection, and the request can be repeated. Larger ones are streamed.
export const bufferedBodyBytesMax = 64 * 1024;

/** A request as it came. A class, as there is one for each request: its methods are made once. */
export class ServerRequest {
  readonly method: string;
  /** Path and query, in the one spelling that all readers understand. */
  readonly target: string;
  readonly path: string;

  constructor(
    private readonly head: RequestHead,
    private readonly incoming: Pick<IncomingBody, 'readAll' | 'stream'> | undefined,
    private readonly origin: RequestConnection,
  ) {
    this.method = head.method;
    this.target = head.target;
    const query = head.target.indexOf('?');
    this.path = query < 0 ? head.target : head.target.slice(0, query);
  }

  /** Header lines that may be passed on, each with its CRLF; Host is not among them. */
  get lines(): string {
    return this.head.fields.lines;
  }

  /** The value of a header, by its name in lower case; several are joined by commas. */
  header(name: string): string | undefined {
    return fieldValue(this.head.fields, name);
  }

  get isHttp11(): boolean {
    return this.head.isHttp11;
  }

  /** As the head tells it; undefined when it comes in chunks, 0 when there is none. */
  get bodyBytes(): number | undefined {
    const { framing } = this.head;
    return framing.kind === 'length' ? framing.bytes : framing.kind === 'none' ? 0 : undefined;
  }

  get isHandshake(): boolean {
    const { method, isHttp11, bodyBytes } = this;
    if (this.header('upgrade') === undefined) return false;
    return isWebSocketHandshake({ method, isHttp11, bodyBytes, header: (name) => this.header(name) });
  }

  /** The whole body; at once when it is there already. Throws `request.too_large` and `request.too_slow`. */
  body(): BinaryString | Promise<BinaryString> {
    return this.incoming?.readAll() ?? '';
  }

  /** Settles with a body that is taken in and not there yet. What is wrong with it is told to who asks for it. */
  pendingBody(): Promise<BinaryString> | undefined {
    const { method, bodyBytes = 0 } = this;
    if (method === 'GET' || method === 'HEAD' || bodyBytes > bufferedBodyBytesMax) return undefined;
    try {
      const body = this.body();
      return body instanceof Promise ? body : undefined;
    } catch {
      return undefined;
    }
  }

  /** The body as it comes, at the pace of its reader; instead of `body`. */
  stream(): ReadableStream<Uint8Array> {
    return this.incoming?.stream() ?? new Blob([]).stream();
  }

  /** The IP address at the other end of the connection. */
  get peerAddress(): string {
    return this.origin.peerAddress();
  }

  /** Nobody waits for the answer any more. */
  isAbandoned(): boolean {
    return !this.origin.isInFlight(this);
  }
}
