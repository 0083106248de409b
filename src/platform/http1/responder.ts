import type { ConnectionSocket } from './connection-socket.ts';
import type { ConnectionState } from './connection-state.ts';
import { discardAnswer, type Http1Answer, type ProtocolUpgrade } from './http1-answer.ts';
import { discardReply, formatReply, type Reply } from './reply.ts';
import type { RequestIntake } from './request-intake.ts';
import type { ServerConnectionOwner } from './server-limits.ts';
import type { ServerRequest } from './server-request.ts';

/** The connection that answers are sent on. */
export interface RespondingConnection {
  upgrade(answer: ProtocolUpgrade): void;
  /** The answer is sent; whether another request may follow. */
  onAnswered(mayContinue: boolean): void;
}

/** Sends the answers of one connection, and decides whether another request may follow each. */
export class Responder {
  /** The answer to the request in service: not begun, or begun, and whether the connection is kept after it. */
  private answering: 'no' | 'closes' | 'keeps_alive' = 'no';

  constructor(
    private readonly connection: RespondingConnection,
    private readonly state: ConnectionState,
    private readonly intake: RequestIntake,
    private readonly socket: ConnectionSocket,
    private readonly owner: ServerConnectionOwner,
  ) {}

  hasBegun(): boolean {
    return this.answering !== 'no';
  }

  /** Lets the handler answer the request. */
  handle(request: ServerRequest): void {
    const fail = (error: unknown) => this.fail(request, error);
    try {
      const answer = this.owner.handle(request);
      if (answer instanceof Promise) answer.then((settled) => this.answer(request, settled), fail);
      else this.answer(request, answer);
    } catch (error) {
      fail(error);
    }
  }

  fail(request: ServerRequest, error: unknown): void {
    this.answer(request, this.owner.toErrorReply(error, request));
  }

  /** Answers bytes that are no request; the connection must end afterwards. */
  reject(error: unknown): void {
    const dateLine = this.owner.dateLine();
    const context = { method: 'GET', dateLine, supportsChunked: false, keepAlive: false };
    this.socket.writer.write(formatReply(this.owner.toErrorReply(error, undefined), context));
  }

  /** Once the answer is written the connection is free for the next request, or ends. */
  finishIfWritten(): void {
    const { writer } = this.socket;
    if (!writer.isDrained() || writer.isPiping() || this.state.phase !== 'serving') return;
    const mayContinue = this.answering === 'keeps_alive' && !this.mustClose();
    this.answering = 'no';
    this.connection.onAnswered(mayContinue);
  }

  private answer(request: ServerRequest, answer: Http1Answer): void {
    if (this.intake.request !== request || this.answering !== 'no') discardAnswer(answer);
    else if ('start' in answer) this.connection.upgrade(answer);
    else this.reply(request, answer);
  }

  private reply(request: ServerRequest, reply: Reply): void {
    const { method } = request;
    const { head } = this.intake;
    const supportsChunked = head?.isHttp11 === true;
    const stream = reply.body instanceof ReadableStream && method !== 'HEAD' ? reply.body : undefined;
    // Without chunks only the end of the connection can mark the end of a stream.
    const closes = this.mustClose() || (stream !== undefined && !supportsChunked);
    const keepAlive = head?.keepAlive === true && !closes;
    this.answering = keepAlive ? 'keeps_alive' : 'closes';
    this.socket.isContinueExpected = false;
    const dateLine = this.owner.dateLine();
    this.socket.writer.write(formatReply(reply, { method, dateLine, supportsChunked, keepAlive }));
    if (stream === undefined) {
      discardReply(reply);
      this.finishIfWritten();
    } else void this.sendStream(request, stream, supportsChunked);
  }

  private async sendStream(request: ServerRequest, stream: ReadableStream<Uint8Array>, inChunks: boolean) {
    const isComplete = await this.socket.writer.pipe(stream, inChunks);
    if (this.intake.request !== request) return;
    if (isComplete) this.finishIfWritten();
    else this.socket.terminate();
  }

  /** Whether no request can follow the one in service. */
  private mustClose(): boolean {
    const { intake, state } = this;
    const isLast = state.isPeerEnded && intake.ahead.isEmpty;
    return isLast || intake.isBroken || !intake.isRequestComplete() || this.owner.isStopping();
  }
}
