import type { Socket } from 'bun';
import { type BinaryString, writeData } from './binary.ts';
import { encodeChunk, lastChunk } from './chunked-encoding.ts';
import { formatRequestHead, type OutgoingRequest } from './outgoing-request.ts';

/** The connection that requests are written to. */
export interface RequestWriterConnection {
  /** A part of a streamed body is about to be written. */
  onProgress(): void;
  /** The instance does not accept bytes any more. */
  onLost(): void;
  /** The client disconnected after a part of its body: the instance must never take that for the whole. */
  onStreamFailed(error: unknown): void;
}

/** Writes the requests of one connection, one after the other. */
export class RequestWriter {
  socket: Socket<unknown> | undefined;
  /** The instance may have seen a byte of the current request. */
  wasSent = false;
  private isWritten = true;
  /** Bytes that the socket has not accepted yet. */
  private unsent: Uint8Array | undefined;
  private drained: PromiseWithResolvers<void> | undefined;

  constructor(private readonly connection: RequestWriterConnection) {}

  /** Whether all of the current request is written, so that another may follow. */
  isComplete(): boolean {
    return this.isWritten && this.unsent === undefined;
  }

  /** Writes a request, and a streamed body at the pace of the instance while `isCurrent`. Throws TypeError. */
  send(request: OutgoingRequest, host: string, isCurrent: () => boolean): void {
    const { body } = request;
    this.wasSent = false;
    const head = formatRequestHead(request, host);
    const isStreamed = body instanceof ReadableStream;
    this.isWritten = !isStreamed;
    this.write(typeof body === 'string' ? head + body : head);
    if (!isStreamed || !isCurrent()) return;
    this.writeStream(body, isCurrent).catch((error: unknown) => {
      if (isCurrent()) this.connection.onStreamFailed(error);
    });
  }

  onDrain(): void {
    const rest = this.unsent;
    this.unsent = undefined;
    if (rest !== undefined) this.write(rest);
  }

  /** Wakes a stream that waits for a connection which is closed now. */
  onClose(): void {
    this.drained?.resolve();
  }

  private async writeStream(body: ReadableStream<Uint8Array>, isCurrent: () => boolean): Promise<void> {
    const source = body.getReader();
    for (;;) {
      while (this.unsent !== undefined && isCurrent()) await this.whenDrained();
      const { done, value } = await source.read();
      if (!isCurrent()) return void source.cancel().catch(() => undefined);
      this.connection.onProgress();
      if (done) break;
      if (value.length > 0) this.write(encodeChunk(value));
    }
    this.write(lastChunk);
    this.isWritten = true;
  }

  /** Only called while no earlier bytes are unsent. */
  private write(data: BinaryString | Uint8Array): void {
    if (this.socket === undefined) throw new Error('written before the connection is open');
    const rest = writeData(this.socket, data);
    if (rest === 'closed') {
      this.connection.onLost();
      return;
    }
    this.wasSent ||= rest === undefined || rest.length < data.length;
    this.unsent = rest;
    if (rest === undefined) this.drained?.resolve();
  }

  private whenDrained(): Promise<void> {
    this.drained = Promise.withResolvers<void>();
    return this.drained.promise;
  }
}
