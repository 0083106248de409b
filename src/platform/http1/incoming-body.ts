import { problem } from '../problems.ts';
import { type BinaryString, BinaryStringBuilder } from './binary.ts';
import type { Framing } from './framing.ts';

/** What a body may ask of the connection that it comes on. */
export interface BodyFlow {
  pause(): void;
  resume(): void;
  /** Somebody wants the body: a client that waits to hear so is told. */
  onBodyRequested(): void;
}

// So much is taken in before anybody has asked for the body, and ahead of who reads it as a stream.
const bytesAhead = 64 * 1024;

/** The body that a request's head announces, if any. */
export function createIncomingBody(
  framing: Framing,
  bytesMax: number,
  flow: BodyFlow,
): IncomingBody | undefined {
  if (framing.kind === 'none') return undefined;
  return new IncomingBody(framing.kind === 'length' ? framing.bytes : undefined, bytesMax, flow);
}

/** The body of the request under way on a connection. */
export class IncomingBody {
  /** All of it has come. */
  isComplete = false;
  private gathered = new BinaryStringBuilder();
  private size = 0;
  private failure: unknown;
  private waiting: PromiseWithResolvers<BinaryString> | undefined;
  private controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(
    /** Undefined when it comes in chunks. */
    private readonly length: number | undefined,
    private readonly bytesMax: number,
    private readonly flow: BodyFlow,
  ) {}

  push(bytes: Buffer, start: number, end: number): void {
    if (this.failure !== undefined) return;
    this.size += end - start;
    if (this.size > this.bytesMax) {
      this.fail(problem('request.too_large'));
    } else if (this.controller !== undefined) {
      this.controller.enqueue(bytes.subarray(start, end));
      if ((this.controller.desiredSize ?? 0) <= 0) this.flow.pause();
    } else {
      this.gathered.append(bytes, start, end);
      if (this.waiting === undefined && this.size > bytesAhead) this.flow.pause();
    }
  }

  end(): void {
    this.isComplete = true;
    this.controller?.close();
    this.waiting?.resolve(this.gathered.build());
  }

  /** Nothing more comes of it. */
  fail(error: unknown): void {
    if (this.isComplete || this.failure !== undefined) return;
    this.failure = error;
    this.gathered = new BinaryStringBuilder();
    this.flow.pause();
    this.controller?.error(error);
    this.waiting?.reject(error);
  }

  readAll(): BinaryString | Promise<BinaryString> {
    this.check();
    if (this.isComplete) return this.gathered.build();
    this.waiting ??= Promise.withResolvers<BinaryString>();
    this.ask();
    return this.waiting.promise;
  }

  stream(): ReadableStream<Uint8Array> {
    this.check();
    const stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          if (this.gathered.length > 0) controller.enqueue(Buffer.from(this.gathered.build(), 'latin1'));
          if (this.isComplete) controller.close();
          else this.controller = controller;
          this.gathered = new BinaryStringBuilder();
        },
        pull: () => this.flow.resume(),
        cancel: () => {
          this.controller = undefined;
          this.fail(problem('request.too_large', { detail: 'nobody reads the body any more' }));
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: bytesAhead }),
    );
    if (!this.isComplete) this.ask();
    return stream;
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure;
    if (this.length !== undefined && this.length > this.bytesMax) throw problem('request.too_large');
  }

  private ask(): void {
    this.flow.onBodyRequested();
    this.flow.resume();
  }
}
