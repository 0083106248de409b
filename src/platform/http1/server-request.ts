import { bufferedBodyBytesMax } from '../http-message/body-limits.ts';
import { isWebSocketHandshake } from '../http-message/websocket-handshake.ts';
import type { BinaryString } from './binary.ts';
import type { IncomingBody } from './incoming-body.ts';
import { fieldValue, type RequestHead } from './request-head.ts';

/** The connection that a request arrived on. */
export interface RequestConnection {
  isInFlight(request: ServerRequest): boolean;
  readonly socket: { peerAddress(): string };
}

/** A received request. A class, since there is one for each request and the methods are created once. */
export class ServerRequest {
  readonly method: string;
  /** Path and query, in the one spelling that all readers understand alike. */
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

  /** The header lines to forward, each with its CRLF; without Host. */
  get lines(): string {
    return this.head.fields.lines;
  }

  /** The value of a header, by its name in lower case; repeated lines are joined by commas. */
  header(name: string): string | undefined {
    return fieldValue(this.head.fields, name);
  }

  get isHttp11(): boolean {
    return this.head.isHttp11;
  }

  /** The length that the head declares; undefined for a chunked body, 0 without a body. */
  get bodyBytes(): number | undefined {
    const { framing } = this.head;
    return framing.kind === 'length' ? framing.bytes : framing.kind === 'none' ? 0 : undefined;
  }

  get isHandshake(): boolean {
    const { method, isHttp11, bodyBytes } = this;
    if (this.header('upgrade') === undefined) return false;
    return isWebSocketHandshake({ method, isHttp11, bodyBytes, header: (name) => this.header(name) });
  }

  /** The whole body; not a promise when it has arrived already. Throws `request.too_large` and `request.too_slow`. */
  body(): BinaryString | Promise<BinaryString> {
    return this.incoming?.readAll() ?? '';
  }

  /** Settles when a buffered body has arrived; undefined when there is nothing to wait for. Errors are thrown by `body`. */
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

  /** The body as it arrives, at the pace of its reader; an alternative to `body`. */
  stream(): ReadableStream<Uint8Array> {
    return this.incoming?.stream() ?? new Blob([]).stream();
  }

  /** The IP address at the other end of the connection. */
  get peerAddress(): string {
    return this.origin.socket.peerAddress();
  }

  /** The answer has been sent or the client is gone: nobody waits for one. */
  isAbandoned(): boolean {
    return !this.origin.isInFlight(this);
  }
}
