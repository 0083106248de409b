import type { Socket } from 'bun';
import { fault } from '../faults.ts';
import { MalformedMessage } from './fields.ts';
import type { Framing } from './framing.ts';
import { type BodyFlow, type IncomingBody, incomingBodyOf } from './incoming-body.ts';
import { createMessageReader, type MessageReader } from './message-reader.ts';
import { Outlet } from './outlet.ts';
import { ReadAhead } from './read-ahead.ts';
import { continueText, discard, processingText, type Reply, replyText } from './reply.ts';
import type { RequestHead } from './request-head.ts';
import type { Answer, TakenWire, TakeOver } from './server.ts';
import { type ConnectionOwner, limits, noAnswer } from './server-limits.ts';
import { type RequestOrigin, ServerRequest } from './server-request.ts';
import { abandon, takenPeer } from './taken-peer.ts';

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
export class ServerConnection implements RequestOrigin, BodyFlow {
  private phase: Phase = 'reading';
  /** When the phase began; in `reading`, when the first byte of the head came, if any has. */
  private sinceMs: number;
  private readonly reader: MessageReader;
  private readonly out: Outlet;
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
  private taken: TakenWire | undefined;
  private address: string | undefined;

  constructor(
    private readonly socket: Socket<ServerConnection>,
    private readonly owner: ConnectionOwner,
  ) {
    this.sinceMs = owner.nowMs();
    this.out = new Outlet(socket, owner.nowMs);
    this.reader = createMessageReader(
      {
        head: (text) => this.begun(text),
        body: (bytes, start, end) => this.body?.push(bytes, start, end),
        end: () => this.body?.end(),
      },
      owner.headBytesMax,
    );
    this.reader.begin();
  }

  received(bytes: Buffer): void {
    if (this.phase === 'taken') this.taken?.received(bytes);
    else if (this.phase === 'reading') this.feed(bytes);
    else if (this.phase !== 'serving' || this.broken) return;
    else if (this.isRequestWhole()) this.hold(bytes);
    else this.feed(bytes);
  }

  drained(): void {
    this.out.drained();
    if (!this.out.isClear()) return;
    if (this.phase === 'taken') this.taken?.drained();
    else if (this.answering !== 'no') this.finished();
  }

  /** The client sends nothing more. It may still read: what came whole is answered (RFC 9112 §9.6). */
  ended(): void {
    this.isEnded = true;
    this.askPeerFromMs = this.owner.nowMs() + limits.askPeerAfterMs;
    if (this.phase === 'reading') this.linger();
    else if (this.phase !== 'serving') this.terminate();
    else if (!this.isRequestWhole()) this.body?.fail(new MalformedMessage('a body that ends early'));
  }

  closed(): void {
    this.phase = 'closed';
    this.request = undefined;
    this.out.closed();
    this.body?.fail(fault('request.invalid', { detail: 'the client went away' }));
    this.taken?.closed();
  }

  /** Ends what has taken too long. */
  look(nowMs: number): void {
    const forMs = nowMs - this.sinceMs;
    if (this.out.isStalled(nowMs, limits.stallMs)) this.terminate();
    else if (this.phase === 'lingering' && forMs > limits.lingerMs) this.terminate();
    else if (this.phase === 'serving' && this.answering === 'no') this.lookAtRequest(forMs, nowMs);
    else if (this.phase !== 'reading') return;
    else if (this.reader.isInHead() && forMs > limits.headMsMax) this.refuse(fault('request.too_slow'));
    else if (forMs > (this.isNew ? limits.headMsMax : limits.idleMsMax)) this.terminate();
  }

  private lookAtRequest(forMs: number, nowMs: number): void {
    const { request, owner } = this;
    if (nowMs > this.askPeerFromMs && this.head?.isHttp11) {
      this.askPeerFromMs = Number.POSITIVE_INFINITY;
      this.out.write(processingText);
    }
    if (request === undefined || forMs <= owner.requestTimeoutMs) return;
    this.body?.fail(fault('request.too_slow'));
    if (this.isRequestWhole() || forMs > owner.requestTimeoutMs + limits.graceMs)
      this.answer(request, owner.failed(noAnswer(), request));
  }

  /** The server stops: what is under way is answered, and nothing new is. */
  stop(): void {
    if (this.phase === 'taken') this.taken?.stop();
    else if (this.phase === 'reading') this.linger();
  }

  terminate(): void {
    this.socket.terminate();
  }

  isUnderWay(request: ServerRequest): boolean {
    return this.request === request;
  }

  peerAddress(): string {
    this.address ??= this.socket.remoteAddress;
    return this.address;
  }

  wanted(): void {
    if (this.head?.expectsContinue && this.answering === 'no') this.out.write(continueText);
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
    else if (this.phase === 'taken') this.taken?.received(bytes.subarray(at));
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
        this.refuse(error);
        return taken;
      }
      this.broken = true;
      this.body?.fail(error);
    }
    if (this.request !== undefined && this.request !== before) this.serve(this.request);
    return taken;
  }

  private begun(text: string): Framing {
    const head = this.owner.readHead(text);
    const { framing } = head;
    this.isNew = false;
    this.head = head;
    this.body = incomingBodyOf(framing, this.owner.bodyBytesMax, this);
    this.phase = 'serving';
    this.request = new ServerRequest(head, this.body, this);
    return framing;
  }

  private isRequestWhole(): boolean {
    return this.body?.isWhole !== false;
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
    while (!this.ahead.isEmpty && this.phase === 'reading') this.ahead.feed((bytes) => this.feedOne(bytes));
    this.goingOn = false;
    if (this.ahead.isEmpty && this.phase === 'reading') this.resume();
  }

  private serve(request: ServerRequest): void {
    const fail = (error: unknown) => this.answer(request, this.owner.failed(error, request));
    try {
      const answer = this.owner.handle(request);
      if (answer instanceof Promise) answer.then((one) => this.answer(request, one), fail);
      else this.answer(request, answer);
    } catch (error) {
      fail(error);
    }
  }

  private answer(request: ServerRequest, answer: Answer): void {
    if (this.request !== request || this.answering !== 'no') abandon(answer);
    else if ('start' in answer) this.takeOver(answer);
    else this.reply(request, answer);
  }

  private reply(request: ServerRequest, answer: Reply): void {
    const { method } = request;
    const knowsChunks = this.head?.isHttp11 === true;
    const stream = answer.body instanceof ReadableStream && method !== 'HEAD' ? answer.body : undefined;
    // Without chunks the end of a stream can only be told by the end of its connection.
    const ends = this.mustEnd() || (stream !== undefined && !knowsChunks);
    const keepAlive = this.head?.keepAlive === true && !ends;
    this.answering = keepAlive ? 'goes_on' : 'last';
    this.out.write(replyText(answer, { method, date: this.owner.date(), knowsChunks, keepAlive }));
    if (stream === undefined) {
      discard(answer);
      this.finished();
    } else void this.send(request, stream, knowsChunks);
  }

  private async send(request: ServerRequest, stream: ReadableStream<Uint8Array>, inChunks: boolean) {
    const whole = await this.out.pipe(stream, inChunks);
    if (this.request !== request) return;
    if (whole) this.finished();
    else this.terminate();
  }

  /** Once the answer is out the connection is free for the next request, or ends. */
  private finished(): void {
    if (!this.out.isClear() || this.out.isPiping() || this.phase !== 'serving') return;
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
  refuse(error: unknown): void {
    const context = { method: 'GET', date: this.owner.date(), knowsChunks: false, keepAlive: false };
    this.out.write(replyText(this.owner.failed(error, undefined), context));
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

  private takeOver(answer: TakeOver): void {
    this.phase = 'taken';
    this.request = undefined;
    this.out.write(answer.opening);
    this.taken = answer.start(takenPeer(this.socket, this.out, this));
    this.ahead.feed((bytes) => {
      this.taken?.received(bytes);
      return bytes.length;
    });
  }
}
