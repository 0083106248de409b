import type { Socket } from 'bun';
import { type BinaryString, writeData } from './binary.ts';
import { encodeChunk, lastChunk } from './chunked-encoding.ts';

/**
 * Writes to one connection, in order. A class, since there is one for each connection and the methods are created
 * once.
 */
export class SocketWriter {
  /** Bytes that the socket has not accepted yet. */
  private unsent: Uint8Array | undefined;
  private drained: PromiseWithResolvers<void> | undefined;
  private source: { cancel(): Promise<void> } | undefined;
  private lastProgressMs = 0;

  constructor(
    private readonly socket: Socket<unknown>,
    private readonly nowMs: () => number,
  ) {}

  isDrained(): boolean {
    return this.unsent === undefined;
  }

  isPiping(): boolean {
    return this.source !== undefined;
  }

  /** Whether the peer has read nothing for this long although bytes wait for it. */
  isStalled(nowMs: number, stallMs: number): boolean {
    return this.unsent !== undefined && nowMs - this.lastProgressMs > stallMs;
  }

  /** Bytes that the socket does not accept now are written when it drains. */
  write(data: BinaryString | Uint8Array): void {
    if (this.unsent !== undefined) {
      const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
      this.unsent = Buffer.concat([this.unsent, bytes]);
      return;
    }
    const rest = writeData(this.socket, data);
    if (rest === 'closed') this.socket.terminate();
    else if (rest !== undefined) {
      this.unsent = rest;
      this.lastProgressMs = this.nowMs();
    }
  }

  /** The socket accepts more bytes. */
  onDrain(): void {
    const rest = this.unsent;
    this.unsent = undefined;
    if (rest !== undefined) this.write(rest);
    if (this.unsent === undefined) this.drained?.resolve();
  }

  /**
   * Sends a stream to its end, at the pace of the peer. Returns false when the stream failed: a part of it is sent
   * then, and the peer must never take that for the whole.
   */
  async pipe(stream: ReadableStream<Uint8Array>, inChunks: boolean): Promise<boolean> {
    const source = stream.getReader();
    this.source = source;
    try {
      for (;;) {
        const { done, value } = await source.read();
        if (this.source !== source) return false;
        if (done) break;
        if (value.length > 0) this.write(inChunks ? encodeChunk(value) : value);
        while (this.unsent !== undefined && this.source === source) await this.whenDrained();
      }
      if (inChunks) this.write(lastChunk);
      return true;
    } catch {
      return false;
    } finally {
      if (this.source === source) this.source = undefined;
    }
  }

  onClose(): void {
    this.source?.cancel().catch(() => undefined);
    this.source = undefined;
    this.drained?.resolve();
  }

  private whenDrained(): Promise<void> {
    this.drained = Promise.withResolvers<void>();
    return this.drained.promise;
  }
}
