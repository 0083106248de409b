import { BinaryStringBuilder } from './binary.ts';
import type { OutgoingRequest } from './outgoing-request.ts';
import type { Reply } from './reply.ts';
import type { ResponseHead } from './response-head.ts';
import type { ResponseSink } from './response-reader.ts';

/** Why there is no answer. */
export type FailureReason = 'not_connected' | 'lost' | 'malformed' | 'timed_out' | 'cancelled';

/** No answer. `sent` is false when no byte of the request can have been seen by the instance. */
export class ExchangeFailure extends Error {
  override readonly name = 'ExchangeFailure';
  constructor(
    readonly reason: FailureReason,
    readonly wasSent: boolean,
    cause?: unknown,
  ) {
    super(`${reason}${wasSent ? ', after it was sent' : ''}`, { cause });
  }
}

/** What an exchange may ask of the connection that it uses. */
export interface ResponseFlow {
  pause(): void;
  resume(): void;
  /** Nobody reads on: the connection is of no use any more. */
  abandon(): void;
}

// An answer of a known length up to this is gathered before it is passed on: if its instance dies on the
// way, another one can still be asked. Larger ones, and those without a length, are streamed.
const gatheredBytesMax = 64 * 1024;
const streamedBytesAhead = 64 * 1024;

/** One request and its answer. A class, as there is one for each request: its methods are made once. */
export class Exchange implements ResponseSink {
  private readonly reply = Promise.withResolvers<Reply>();
  private received: ResponseHead | undefined;
  /** What of the body came before anybody could read it. */
  private gathered = new BinaryStringBuilder();
  private gathers = false;
  private over = false;
  private controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(readonly request: OutgoingRequest) {}

  /** Settles once the head is there, for a small answer once all of it is. */
  get response(): Promise<Reply> {
    return this.reply.promise;
  }

  /** Whether the connection may carry another request; known when the head is there. */
  mayReuseConnection(): boolean {
    return this.received?.keepAlive === true;
  }

  hasEnded(): boolean {
    return this.over;
  }

  /** Its answer is handed on while it comes, at the pace of whoever reads it. */
  isStreaming(): boolean {
    return this.controller !== undefined;
  }

  onHead(received: ResponseHead): void {
    const { framing } = received;
    this.received = received;
    this.gathers = framing.kind === 'length' && framing.bytes <= gatheredBytesMax;
  }

  onBody(bytes: Buffer, start: number, end: number): void {
    if (this.controller === undefined) this.gathered.append(bytes, start, end);
    else this.controller.enqueue(bytes.subarray(start, end));
  }

  onEnd(): void {
    const { received } = this;
    this.over = true;
    if (this.controller !== undefined) this.controller.close();
    else if (received !== undefined)
      this.reply.resolve(
        replyOf(received, received.framing.kind === 'none' ? undefined : this.gathered.build()),
      );
  }

  /** The bytes that came together are taken in: what is not whole by now is streamed. */
  onReadComplete(flow: ResponseFlow): void {
    if (this.over || this.received === undefined || this.gathers) return;
    if (this.controller === undefined) this.stream(this.received, flow);
    else if ((this.controller.desiredSize ?? 0) <= 0) flow.pause();
  }

  fail(failure: ExchangeFailure): void {
    if (this.over) return;
    this.over = true;
    if (this.controller === undefined) this.reply.reject(failure);
    else this.controller.error(failure);
  }

  private stream(received: ResponseHead, flow: ResponseFlow): void {
    const body = new ReadableStream<Uint8Array>(
      {
        start: (given) => {
          this.controller = given;
          if (this.gathered.length > 0) given.enqueue(Buffer.from(this.gathered.build(), 'latin1'));
          this.gathered = new BinaryStringBuilder();
        },
        pull: () => flow.resume(),
        cancel: () => {
          this.over = true;
          flow.abandon();
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: streamedBytesAhead }),
    );
    this.reply.resolve(replyOf(received, body));
  }
}

const replyOf = ({ status, lines }: ResponseHead, body: Reply['body']): Reply => ({ status, lines, body });
