import type { ConnectionSocket } from './connection-socket.ts';
import type { ConnectionState } from './connection-state.ts';
import type { Framing } from './framing.ts';
import { createIncomingBody, type IncomingBody } from './incoming-body.ts';
import { createMessageReader, type MessageReader } from './message-reader.ts';
import { ReadAhead } from './read-ahead.ts';
import type { RequestHead } from './request-head.ts';
import type { ServerConnectionOwner } from './server-limits.ts';
import { type RequestConnection, ServerRequest } from './server-request.ts';

/** The connection that requests are read from. */
export interface IntakeConnection {
  /** A request has begun, and all of it that arrived with its head is read. */
  onRequest(request: ServerRequest): void;
  /** Answers bytes that are no request; nothing after them can be trusted. */
  reject(error: unknown): void;
  /** Bytes that came together with a request and after it. */
  onBytesAfterRequest(bytes: Buffer): void;
}

/** Reads the requests of one connection, one after the other; bytes after the request in service wait. */
export class RequestIntake implements RequestConnection {
  head: RequestHead | undefined;
  request: ServerRequest | undefined;
  body: IncomingBody | undefined;
  /** No request has arrived on the connection yet. */
  isUnused = true;
  /** The bytes that arrive cannot be read any more. */
  isBroken = false;
  readonly ahead = new ReadAhead();
  readonly reader: MessageReader;
  private isContinuing = false;

  constructor(
    private readonly connection: IntakeConnection,
    private readonly state: ConnectionState,
    readonly socket: ConnectionSocket,
    private readonly owner: ServerConnectionOwner,
  ) {
    this.reader = createMessageReader(
      {
        onHead: (text) => this.onHead(text),
        onBody: (bytes, start, end) => this.body?.push(bytes, start, end),
        onEnd: () => this.body?.end(),
      },
      owner.headBytesMax,
    );
    this.reader.begin();
  }

  isRequestComplete(): boolean {
    return this.body?.isComplete !== false;
  }

  isInFlight(request: ServerRequest): boolean {
    return this.request === request;
  }

  /** Reads all bytes that can be read now: one request after the other while each is answered at once. */
  feed(bytes: Buffer): void {
    let at = this.feedOne(bytes);
    while (at < bytes.length && this.state.phase === 'reading') at += this.feedOne(bytes.subarray(at));
    if (at < bytes.length) this.connection.onBytesAfterRequest(bytes.subarray(at));
  }

  /** Keeps bytes for later. A client too far ahead gets this answer, and must send the rest on another connection. */
  hold(bytes: Buffer): void {
    if (!this.ahead.add(bytes)) this.isBroken = true;
  }

  finishRequest(): void {
    this.request = undefined;
    this.body = undefined;
    this.head = undefined;
    this.socket.isContinueExpected = false;
  }

  /** Expects the next request, and reads those that came together with the last one. */
  readNext(): void {
    this.state.phase = 'reading';
    this.state.sinceMs = this.owner.nowMs();
    this.reader.begin();
    if (this.isContinuing) return;
    this.isContinuing = true;
    while (!this.ahead.isEmpty && this.state.phase === 'reading')
      this.ahead.consume((bytes) => this.feedOne(bytes));
    this.isContinuing = false;
    if (this.ahead.isEmpty && this.state.phase === 'reading') this.socket.resume();
  }

  /** Returns how many bytes belonged to the request. */
  private feedOne(bytes: Buffer): number {
    if (this.state.phase === 'reading' && !this.reader.isInHead()) this.state.sinceMs = this.owner.nowMs();
    const before = this.request;
    let taken = bytes.length;
    try {
      taken = this.reader.feed(bytes);
    } catch (error) {
      if (this.request === undefined) {
        this.connection.reject(error);
        return taken;
      }
      this.isBroken = true;
      this.body?.fail(error);
    }
    if (this.request !== undefined && this.request !== before) this.connection.onRequest(this.request);
    return taken;
  }

  private onHead(text: string): Framing {
    const head = this.owner.parseHead(text);
    const { framing } = head;
    this.isUnused = false;
    this.head = head;
    this.body = createIncomingBody(framing, this.owner.bodyBytesMax, this.socket);
    this.socket.isContinueExpected = head.expectsContinue;
    this.state.phase = 'serving';
    this.request = new ServerRequest(head, this.body, this);
    return framing;
  }
}
