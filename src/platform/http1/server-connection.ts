import type { Socket } from 'bun';
import { problem } from '../problems.ts';
import { MalformedMessage } from './fields.ts';
import type { Framing } from './framing.ts';
import { type BodyFlow, createIncomingBody, type IncomingBody } from './incoming-body.ts';
import { createMessageReader, type MessageReader } from './message-reader.ts';
import { ReadAhead } from './read-ahead.ts';
import { continueResponse, discardReply, formatReply, processingResponse, type Reply } from './reply.ts';
import type { RequestHead } from './request-head.ts';
import type { Http1Answer, ProtocolUpgrade, UpgradedConnectionHandler } from './server.ts';
import { connectionLimits, noAnswerProblem, type ServerConnectionOwner } from './server-limits.ts';
import { type RequestConnection, ServerRequest } from './server-request.ts';
import { SocketWriter } from './socket-writer.ts';
import { createUpgradedPeer, discardAnswer } from './upgraded-peer.ts';

/**
 *   reading ──head──► serving ──answered──► reading, or lingering ──► closed
 *      │                 └─ with another protocol ──► taken ────────────▲
 *      └─ what can't be read, is answered ──► lingering ────────────────┘
 *
 * Lingering: all is said, the client may still send; it is read and thrown away, since to close on unread
 * bytes would take our last answer away from the client too.
 */
type Phase = 'reading' | 'serving' | 'taken' | 'lingering' | 'closed';

/** A connection of a client. A class, as there are tens of thousands: its methods are made once. */
export class ServerConnection implements RequestConnection, BodyFlow {
  private phase: Phase = 'reading';
  /** When the phase began; in `reading`, when the first byte of the head came, if any has. */
  private sinceMs: number;
  private readonly reader: MessageReader;
  private readonly out: SocketWriter;
  private head: RequestHead | undefined;
  private request: ServerRequest | undefined;
  private body: IncomingBody | undefined;
  /** The answer to the request has begun, and whether another request may follow it. */
  private answering: 'no' | 'last' | 'goes_on' = 'no';
  /** No request has come on it yet. */
  private isNew = true;
  private readonly ahead = new ReadAhead();
  /** What comes can't be read any more. */
  private broken = false;
  private goingOn = false;
  private askPeerFromMs = Number.POSITIVE_INFINITY;
  private isEnded = false;
  private paused = false;
  private taken: UpgradedConnectionHandler | undefined;
  private address: string | undefined;

  constructor(
    private readonly socket: Socket<ServerConnection>,
    private readonly owner: ServerConnectionOwner,
  ) {
    this.sinceMs = owner.nowMs();
    this.out = new SocketWriter(socket, owner.nowMs);
    this.reader = createMessageReader(
      {
        onHead: (text) => this.begun(text),
        onBody: (bytes, start, end) => this.body?.push(bytes, start, end),
        onEnd: () => this.body?.end(),
      },
      owner.headBytesMax,
    );
    this.reader.begin();
  }

  onData(bytes: Buffer): void {
    if (this.phase === 'taken') this.taken?.onData(bytes);
    else if (this.phase === 'reading') this.feed(bytes);
    else if (this.phase !== 'serving' || this.broken) return;
    else if (this.isRequestWhole()) this.hold(bytes);
    else this.feed(bytes);
  }

  onDrain(): void {
    this.out.onDrain();
    if (!this.out.isDrained()) return;
    if (this.phase === 'taken') this.taken?.onDrain();
    else if (this.answering !== 'no') this.finished();
  }

  /** The client sends nothing more. It may still read: what came whole is answered (RFC 9112 §9.6). */
  onEnd(): void {
    this.isEnded = true;
    this.askPeerFromMs = this.owner.nowMs() + connectionLimits.probePeerAfterMs;
    if (this.phase === 'reading') this.linger();
    else if (this.phase !== 'serving') this.terminate();
    else if (!this.isRequestWhole()) this.body?.fail(new MalformedMessage('a body that ends early'));
  }

  onClose(): void {
    this.phase = 'closed';
    this.request = undefined;
    this.out.onClose();
    this.body?.fail(problem('request.invalid', { detail: 'the client went away' }));
    this.taken?.onClose();
  }

  /** Ends what has taken too long. */
  enforceTimeouts(nowMs: number): void {
    const forMs = nowMs - this.sinceMs;
    if (this.out.isStalled(nowMs, connectionLimits.stallMs)) this.terminate();
    else if (this.phase === 'lingering' && forMs > connectionLimits.lingerMs) this.terminate();
    else if (this.phase === 'serving' && this.answering === 'no') this.lookAtRequest(forMs, nowMs);
    else if (this.phase !== 'reading') return;
    else if (this.reader.isInHead() && forMs > connectionLimits.headMsMax)
      this.reject(problem('request.too_slow'));
    else if (forMs > (this.isNew ? connectionLimits.headMsMax : connectionLimits.idleMsMax)) this.terminate();
  }

  private lookAtRequest(forMs: number, nowMs: number): void {
    const { request, owner } = this;
    if (nowMs > this.askPeerFromMs && this.head?.isHttp11) {
      this.askPeerFromMs = Number.POSITIVE_INFINITY;
      this.out.write(processingResponse);
    }
    if (request === undefined || forMs <= owner.requestTimeoutMs) return;
    this.body?.fail(problem('request.too_slow'));
    if (this.isRequestWhole() || forMs > owner.requestTimeoutMs + connectionLimits.graceMs)
      this.answer(request, owner.toErrorReply(noAnswerProblem(), request));
  }

  /** The server stops: what is under way is answered, and nothing new is. */
  stop(): void {
    if (this.phase === 'taken') this.taken?.onServerStop();
    else if (this.phase === 'reading') this.linger();
  }

  terminate(): void {
    this.socket.terminate();
  }

  isInFlight(request: ServerRequest): boolean {
    return this.request === request;
  }

  peerAddress(): string {
    this.address ??= this.socket.remoteAddress;
    return this.address;
  }

  onBodyRequested(): void {
    if (this.head?.expectsContinue && this.answering === 'no') this.out.write(continueResponse);
  }

  pause(): void {
    if (!this.paused) this.socket.pause();
    this.paused = true;
  }

  resume(): void {
    if (this.paused) this.socket.resume();
    this.paused = false;
  }

  /** Takes in all that can be read now, one request after the other; what follows a request in service waits. */
  private feed(bytes: Buffer): void {
    let at = this.feedOne(bytes);
    while (at < bytes.length && this.phase === 'reading') at += this.feedOne(bytes.subarray(at));
    if (at === bytes.length) return;
    if (this.phase === 'serving') this.hold(bytes.subarray(at));
    else if (this.phase === 'taken') this.taken?.onData(bytes.subarray(at));
  }

  /** Gives how many bytes belonged to the request. */
  private feedOne(bytes: Buffer): number {
    if (this.phase === 'reading' && !this.reader.isInHead()) this.sinceMs = this.owner.nowMs();
    const before = this.request;
    let taken = bytes.length;
    try {
      taken = this.reader.feed(bytes);
    } catch (error) {
      if (this.request === undefined) {
        this.reject(error);
        return taken;
      }
      this.broken = true;
      this.body?.fail(error);
    }
    if (this.request !== undefined && this.request !== before) this.serve(this.request);
    return taken;
  }

  private begun(text: string): Framing {
    const head = this.owner.parseHead(text);
    const { framing } = head;
    this.isNew = false;
    this.head = head;
    this.body = createIncomingBody(framing, this.owner.bodyBytesMax, this);
    this.phase = 'serving';
    this.request = new ServerRequest(head, this.body, this);
    return framing;
  }

  private isRequestWhole(): boolean {
    return this.body?.isComplete !== false;
  }

  /** No request can follow the one in service. */
  private mustEnd(): boolean {
    const isLast = this.isEnded && this.ahead.isEmpty;
    return isLast || this.broken || !this.isRequestWhole() || this.owner.isStopping();
  }

  /** A client that is too far ahead is answered this once, and may send the rest on another connection. */
  private hold(bytes: Buffer): void {
    if (!this.ahead.add(bytes)) this.broken = true;
  }

  /** Takes up the requests that came together with the last one, one after the other. */
  private goOn(): void {
    if (this.goingOn) return;
    this.goingOn = true;
    while (!this.ahead.isEmpty && this.phase === 'reading')
      this.ahead.consume((bytes) => this.feedOne(bytes));
    this.goingOn = false;
    if (this.ahead.isEmpty && this.phase === 'reading') this.resume();
  }

  private serve(request: ServerRequest): void {
    const fail = (error: unknown) => this.answer(request, this.owner.toErrorReply(error, request));
    try {
      const answer = this.owner.handle(request);
      if (answer instanceof Promise) answer.then((one) => this.answer(request, one), fail);
      else this.answer(request, answer);
    } catch (error) {
      fail(error);
    }
  }

  private answer(request: ServerRequest, answer: Http1Answer): void {
    if (this.request !== request || this.answering !== 'no') discardAnswer(answer);
    else if ('start' in answer) this.takeOver(answer);
    else this.reply(request, answer);
  }

  private reply(request: ServerRequest, answer: Reply): void {
    const { method } = request;
    const supportsChunked = this.head?.isHttp11 === true;
    const stream = answer.body instanceof ReadableStream && method !== 'HEAD' ? answer.body : undefined;
    // Without chunks the end of a stream can only be told by the end of its connection.
    const ends = this.mustEnd() || (stream !== undefined && !supportsChunked);
    const keepAlive = this.head?.keepAlive === true && !ends;
    this.answering = keepAlive ? 'goes_on' : 'last';
    this.out.write(
      formatReply(answer, { method, dateLine: this.owner.dateLine(), supportsChunked, keepAlive }),
    );
    if (stream === undefined) {
      discardReply(answer);
      this.finished();
    } else void this.send(request, stream, supportsChunked);
  }

  private async send(request: ServerRequest, stream: ReadableStream<Uint8Array>, inChunks: boolean) {
    const whole = await this.out.pipe(stream, inChunks);
    if (this.request !== request) return;
    if (whole) this.finished();
    else this.terminate();
  }

  /** Once the answer is out the connection is free for the next request, or ends. */
  private finished(): void {
    if (!this.out.isDrained() || this.out.isPiping() || this.phase !== 'serving') return;
    const goesOn = this.answering === 'goes_on' && !this.mustEnd();
    this.request = undefined;
    this.body = undefined;
    this.head = undefined;
    this.answering = 'no';
    if (goesOn) {
      this.phase = 'reading';
      this.sinceMs = this.owner.nowMs();
      this.reader.begin();
      this.goOn();
    } else this.linger();
  }

  /** Answers what is no request that we can read; nothing that follows it can be trusted. */
  reject(error: unknown): void {
    const context = {
      method: 'GET',
      dateLine: this.owner.dateLine(),
      supportsChunked: false,
      keepAlive: false,
    };
    this.out.write(formatReply(this.owner.toErrorReply(error, undefined), context));
    this.linger();
  }

  private linger(): void {
    this.phase = 'lingering';
    this.sinceMs = this.owner.nowMs();
    this.ahead.clear();
    if (this.isEnded) this.socket.end();
    else this.socket.shutdown();
    this.resume();
  }

  private takeOver(answer: ProtocolUpgrade): void {
    this.phase = 'taken';
    this.request = undefined;
    this.out.write(answer.openingBytes);
    this.taken = answer.start(createUpgradedPeer(this.socket, this.out, this));
    this.ahead.consume((bytes) => {
      this.taken?.onData(bytes);
      return bytes.length;
    });
  }
}
