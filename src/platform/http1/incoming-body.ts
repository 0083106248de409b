import { problem } from '../problems.ts';
import { type BinaryString, BinaryStringBuilder } from './binary.ts';
import type { Framing } from './framing.ts';

/** Controls the connection that a body arrives on. */
export interface BodyFlow {
  pause(): void;
  resume(): void;
  /** The handler reads the body: a client that waits for a 100 gets it. */
  onBodyRequested(): void;
}

// Bytes received before the handler asks for the body, and ahead of the reader of a stream.
const bytesAheadMax = 64 * 1024;

/** The body that the head of a request declares, if any. */
export function createIncomingBody(
  framing: Framing,
  bytesMax: number,
  flow: BodyFlow,
): IncomingBody | undefined {
  if (framing.kind === 'none') return undefined;
  return new IncomingBody(framing.kind === 'length' ? framing.bytes : undefined, bytesMax, flow);
}

/** The body of the request in flight on a connection. */
export class IncomingBody {
  /** All of it has arrived. */
  isComplete = false;
  private buffered = new BinaryStringBuilder();
  private receivedBytes = 0;
  private failure: unknown;
  private pending: PromiseWithResolvers<BinaryString> | undefined;
  private controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(
    /** Undefined for a chunked body. */
    private readonly length: number | undefined,
    private readonly bytesMax: number,
    private readonly flow: BodyFlow,
  ) {}

  push(bytes: Buffer, start: number, end: number): void {
    if (this.failure !== undefined) return;
    this.receivedBytes += end - start;
    if (this.receivedBytes > this.bytesMax) {
      this.fail(problem('request.too_large'));
    } else if (this.controller !== undefined) {
      this.controller.enqueue(bytes.subarray(start, end));
      if ((this.controller.desiredSize ?? 0) <= 0) this.flow.pause();
    } else {
      this.buffered.append(bytes, start, end);
      if (this.pending === undefined && this.receivedBytes > bytesAheadMax) this.flow.pause();
    }
  }

  end(): void {
    this.isComplete = true;
    this.controller?.close();
    this.pending?.resolve(this.buffered.build());
  }

  /** The rest of it will not arrive. */
  fail(error: unknown): void {
    if (this.isComplete || this.failure !== undefined) return;
    this.failure = error;
    this.buffered = new BinaryStringBuilder();
    this.flow.pause();
    this.controller?.error(error);
    this.pending?.reject(error);
  }

  readAll(): BinaryString | Promise<BinaryString> {
    this.assertReadable();
    if (this.isComplete) return this.buffered.build();
    this.pending ??= Promise.withResolvers<BinaryString>();
    this.request();
    return this.pending.promise;
  }

  stream(): ReadableStream<Uint8Array> {
    this.assertReadable();
    const stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          if (this.buffered.length > 0) controller.enqueue(Buffer.from(this.buffered.build(), 'latin1'));
          if (this.isComplete) controller.close();
          else this.controller = controller;
          this.buffered = new BinaryStringBuilder();
        },
        pull: () => this.flow.resume(),
        cancel: () => {
          this.controller = undefined;
          this.fail(problem('request.too_large', { detail: 'the body is not read any further' }));
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: bytesAheadMax }),
    );
    if (!this.isComplete) this.request();
    return stream;
  }

  private assertReadable(): void {
    if (this.failure !== undefined) throw this.failure;
    if (this.length !== undefined && this.length > this.bytesMax) throw problem('request.too_large');
  }

  private request(): void {
    this.flow.onBodyRequested();
    this.flow.resume();
  }
}
