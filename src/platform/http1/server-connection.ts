import type { Socket } from 'bun';
import { fault } from '../faults.ts';
import type { Framing } from './framing.ts';
import { IncomingBody } from './incoming-body.ts';
import { createMessageReader, type MessageReader } from './message-reader.ts';
import { Outlet } from './outlet.ts';
import { type Reply, replyText } from './reply.ts';
import type { RequestHead } from './request-head.ts';
import type { Answer, TakenWire, TakeOver } from './server.ts';
import {
  aheadBytesMax,
  type ConnectionOwner,
  graceMs,
  headMsMax,
  idleMsMax,
  lingerMs,
  stallMs,
} from './server-limits.ts';
import { type RequestOrigin, ServerRequest } from './server-request.ts';

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
export class ServerConnection implements RequestOrigin {
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
  /** What came after the request under way. */
  private rest: Buffer | undefined;
  /** What comes can't be read any more. */
  private broken = false;
  private goingOn = false;
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

  // What the socket tells.

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

  closed(): void {
    this.phase = 'closed';
    this.request = undefined;
    this.out.closed();
    this.body?.fail(fault('request.invalid', { detail: 'the client went away' }));
    this.taken?.closed();
  }

  // What the server tells.

  /** Ends what has taken too long. */
  look(nowMs: number): void {
    const forMs = nowMs - this.sinceMs;
    const { requestTimeoutMs } = this.owner;
    if (this.out.isStalled(nowMs, stallMs)) this.terminate();
    else if (this.phase === 'lingering' && forMs > lingerMs) this.terminate();
    else if (this.phase === 'reading' && !this.reader.isInHead() && forMs > idleMsMax) this.terminate();
    else if (this.phase === 'reading' && this.reader.isInHead() && forMs > headMsMax)
      this.refuse(fault('request.too_slow'));
    else if (this.phase === 'serving' && this.answering === 'no' && forMs > requestTimeoutMs) {
      this.body?.fail(fault('request.too_slow'));
      if (this.isRequestWhole() || forMs > requestTimeoutMs + graceMs) this.giveUp();
    }
  }

  /** The server stops: what is under way is answered, and nothing new is. */
  stop(): void {
    if (this.phase === 'taken') this.taken?.stop();
    else if (this.phase === 'reading') this.linger();
  }

  terminate(): void {
    this.socket.terminate();
  }

  // What a request asks.

  isUnderWay(request: ServerRequest): boolean {
    return this.request === request;
  }

  peerAddress(): string {
    this.address ??= this.socket.remoteAddress;
    return this.address;
  }

  // Reading.

  private feed(bytes: Buffer): void {
    if (this.phase === 'reading' && !this.reader.isInHead()) this.sinceMs = this.owner.nowMs();
    const before = this.request;
    try {
      const taken = this.reader.feed(bytes);
      if (taken < bytes.length) this.hold(bytes.subarray(taken));
    } catch (error) {
      if (this.request === undefined) {
        this.refuse(error);
        return;
      }
      this.broken = true;
      this.body?.fail(error);
    }
    if (this.request !== undefined && this.request !== before) this.serve(this.request);
    this.goOn();
  }

  private begun(text: string): Framing {
    const head = this.owner.readHead(text);
    const { framing } = head;
    this.head = head;
    this.body = framing.kind === 'none' ? undefined : this.openBody(head);
    this.phase = 'serving';
    this.request = new ServerRequest(head, this.body, this);
    return framing;
  }

  private openBody({ framing, expectsContinue }: RequestHead): IncomingBody {
    return new IncomingBody(framing.kind === 'length' ? framing.bytes : undefined, this.owner.bodyBytesMax, {
      pause: () => this.pause(),
      resume: () => this.resume(),
      wanted: () => {
        if (expectsContinue && this.answering === 'no') this.out.write(goAhead);
      },
    });
  }

  private isRequestWhole(): boolean {
    return this.body === undefined || this.body.isWhole;
  }

  private hold(bytes: Buffer): void {
    this.rest = this.rest === undefined ? bytes : Buffer.concat([this.rest, bytes]);
    if (this.rest.length > aheadBytesMax) this.pause();
  }

  /** Takes up the requests that came together with the last one, one after the other. */
  private goOn(): void {
    if (this.goingOn) return;
    this.goingOn = true;
    while (this.rest !== undefined && this.phase === 'reading') {
      const bytes: Buffer = this.rest;
      this.rest = undefined;
      this.feed(bytes);
    }
    this.goingOn = false;
    if (this.rest === undefined && this.phase === 'reading') this.resume();
  }

  private pause(): void {
    if (!this.paused) this.socket.pause();
    this.paused = true;
  }

  private resume(): void {
    if (this.paused) this.socket.resume();
    this.paused = false;
  }

  // Answering.

  private serve(request: ServerRequest): void {
    try {
      const answer = this.owner.handle(request);
      if (answer instanceof Promise)
        answer.then(
          (one) => this.answer(request, one),
          (error: unknown) => this.answer(request, this.owner.failed(error)),
        );
      else this.answer(request, answer);
    } catch (error) {
      this.answer(request, this.owner.failed(error));
    }
  }

  private answer(request: ServerRequest, answer: Answer): void {
    if (this.request !== request || this.answering !== 'no') discard(answer);
    else if ('start' in answer) this.takeOver(answer);
    else this.reply(request, answer);
  }

  private reply(request: ServerRequest, answer: Reply): void {
    const { method } = request;
    const knowsChunks = this.head?.isHttp11 === true;
    const stream = answer.body instanceof ReadableStream && method !== 'HEAD' ? answer.body : undefined;
    // Without chunks the end of a stream can only be told by the end of its connection.
    const keepAlive = this.mayGoOn() && (stream === undefined || knowsChunks);
    this.answering = keepAlive ? 'goes_on' : 'last';
    this.out.write(replyText(answer, { method, date: this.owner.date(), knowsChunks, keepAlive }));
    if (stream === undefined) {
      discard(answer);
      this.finished();
    } else void this.send(request, stream, knowsChunks);
  }

  private mayGoOn(): boolean {
    return this.head?.keepAlive === true && this.isRequestWhole() && !this.owner.isStopping();
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
    const goesOn = this.answering === 'goes_on';
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

  private giveUp(): void {
    const { request } = this;
    const late = fault('service.unavailable', { detail: 'no answer in time', retryAfterSeconds: 1 });
    if (request !== undefined) this.answer(request, this.owner.failed(late));
  }

  /** Answers what is no request that we can read; nothing that follows it can be trusted. */
  private refuse(error: unknown): void {
    const context = { method: 'GET', date: this.owner.date(), knowsChunks: false, keepAlive: false };
    this.out.write(replyText(this.owner.failed(error), context));
    this.linger();
  }

  private linger(): void {
    this.phase = 'lingering';
    this.sinceMs = this.owner.nowMs();
    this.rest = undefined;
    this.socket.shutdown();
    this.resume();
  }

  private takeOver(answer: TakeOver): void {
    const { socket, rest } = this;
    this.phase = 'taken';
    this.request = undefined;
    this.rest = undefined;
    this.out.write(answer.opening);
    this.taken = answer.start({
      write: (bytes) => (this.out.isClear() ? socket.write(bytes) : 0),
      pause: () => this.pause(),
      resume: () => this.resume(),
      end: () => void socket.end(),
    });
    if (rest !== undefined) this.taken.received(rest);
  }
}

const goAhead = 'HTTP/1.1 100 Continue\r\n\r\n';

/** What of an answer nobody reads. */
function discard(answer: Answer): void {
  if ('start' in answer) answer.abandon();
  else if (answer.body instanceof ReadableStream) answer.body.cancel().catch(() => undefined);
}
