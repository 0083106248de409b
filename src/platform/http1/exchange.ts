import { BinaryStringBuilder } from './binary.ts';
import type { OutgoingRequest } from './outgoing-request.ts';
import type { Reply } from './reply.ts';
import type { ResponseHead } from './response-head.ts';
import type { ResponseSink } from './response-reader.ts';

/** Why an exchange failed. */
export type FailureReason = 'not_connected' | 'lost' | 'malformed' | 'timed_out' | 'cancelled';

/** An exchange without an answer. `wasSent` is false when the instance cannot have seen a byte of the request. */
export class ExchangeFailure extends Error {
  override readonly name = 'ExchangeFailure';
  constructor(
    readonly reason: FailureReason,
    readonly wasSent: boolean,
    cause?: unknown,
  ) {
    super(`${reason}${wasSent ? ', after the request was sent' : ''}`, { cause });
  }
}

/** Controls the connection that an exchange uses. */
export interface ResponseFlow {
  pause(): void;
  resume(): void;
  /** The answer is not read any further, so that the connection cannot be used again. */
  abandon(): void;
}

// An answer of a known length up to this is buffered before it is forwarded: if its instance dies before the end,
// another one can still be asked. Larger answers, and those without a length, are streamed.
const bufferedBytesMax = 64 * 1024;
const streamedBytesAheadMax = 64 * 1024;

/**
 * One request and its answer. A class, since there is one for each request and the methods are created once.
 */
export class Exchange implements ResponseSink {
  private readonly reply = Promise.withResolvers<Reply>();
  private head: ResponseHead | undefined;
  /** The part of the body that arrived before it could be read. */
  private buffered = new BinaryStringBuilder();
  private isBuffering = false;
  private isOver = false;
  private controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(readonly request: OutgoingRequest) {}

  /** Settles once the head has arrived; for a small answer once all of it has. */
  get response(): Promise<Reply> {
    return this.reply.promise;
  }

  /** Whether the connection may carry another request; known once the head has arrived. */
  mayReuseConnection(): boolean {
    return this.head?.keepAlive === true;
  }

  hasEnded(): boolean {
    return this.isOver;
  }

  /** Whether the answer is forwarded while it arrives, at the pace of its reader. */
  isStreaming(): boolean {
    return this.controller !== undefined;
  }

  onHead(head: ResponseHead): void {
    const { framing } = head;
    this.head = head;
    this.isBuffering = framing.kind === 'length' && framing.bytes <= bufferedBytesMax;
  }

  onBody(bytes: Buffer, start: number, end: number): void {
    if (this.controller === undefined) this.buffered.append(bytes, start, end);
    else this.controller.enqueue(bytes.subarray(start, end));
  }

  onEnd(): void {
    const { head } = this;
    this.isOver = true;
    if (this.controller !== undefined) this.controller.close();
    else if (head !== undefined)
      this.reply.resolve(toReply(head, head.framing.kind === 'none' ? undefined : this.buffered.build()));
  }

  /** All bytes of one read are processed: an answer that is incomplete now is streamed. */
  onReadComplete(flow: ResponseFlow): void {
    if (this.isOver || this.head === undefined || this.isBuffering) return;
    if (this.controller === undefined) this.stream(this.head, flow);
    else if ((this.controller.desiredSize ?? 0) <= 0) flow.pause();
  }

  fail(failure: ExchangeFailure): void {
    if (this.isOver) return;
    this.isOver = true;
    if (this.controller === undefined) this.reply.reject(failure);
    else this.controller.error(failure);
  }

  private stream(head: ResponseHead, flow: ResponseFlow): void {
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.controller = controller;
          if (this.buffered.length > 0) controller.enqueue(Buffer.from(this.buffered.build(), 'latin1'));
          this.buffered = new BinaryStringBuilder();
        },
        pull: () => flow.resume(),
        cancel: () => {
          this.isOver = true;
          flow.abandon();
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: streamedBytesAheadMax }),
    );
    this.reply.resolve(toReply(head, body));
  }
}

const toReply = ({ status, lines }: ResponseHead, body: Reply['body']): Reply => ({ status, lines, body });
