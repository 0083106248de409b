import type { Socket } from 'bun';
import { type BinaryString, writeBinary, writeBytes } from './binary.ts';

/** What goes out on one connection, in order. A class, as there is one for each: its methods are made once. */
export class SocketWriter {
  /** Bytes that the socket did not take yet. */
  private unsent: Uint8Array | undefined;
  private clear: PromiseWithResolvers<void> | undefined;
  private source: { cancel(): Promise<void> } | undefined;
  private progressMs = 0;

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

  /** The peer has read nothing for so long, though something waits for it. */
  isStalled(nowMs: number, stallMs: number): boolean {
    return this.unsent !== undefined && nowMs - this.progressMs > stallMs;
  }

  /** What the socket does not take now goes when it can. */
  write(data: BinaryString | Uint8Array): void {
    if (this.unsent !== undefined) {
      const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
      this.unsent = Buffer.concat([this.unsent, bytes]);
      return;
    }
    const rest = typeof data === 'string' ? writeBinary(this.socket, data) : writeBytes(this.socket, data);
    if (rest === 'closed') this.socket.terminate();
    else if (rest !== undefined) {
      this.unsent = rest;
      this.progressMs = this.nowMs();
    }
  }

  /** The socket takes more. */
  onDrain(): void {
    const rest = this.unsent;
    this.unsent = undefined;
    if (rest !== undefined) this.write(rest);
    if (this.unsent === undefined) this.clear?.resolve();
  }

  /**
   * Sends a stream to its end, at the pace of its reader. False when it broke off: then half of it is out,
   * and the peer must never take that for the whole.
   */
  async pipe(stream: ReadableStream<Uint8Array>, inChunks: boolean): Promise<boolean> {
    const source = stream.getReader();
    this.source = source;
    try {
      for (;;) {
        const { done, value } = await source.read();
        if (this.source !== source) return false;
        if (done) break;
        if (value.length > 0) this.write(inChunks ? chunkOf(value) : value);
        while (this.unsent !== undefined && this.source === source) await this.whenClear();
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
    this.clear?.resolve();
  }

  private whenClear(): Promise<void> {
    this.clear = Promise.withResolvers<void>();
    return this.clear.promise;
  }
}

const crlf = Buffer.from('\r\n');
const lastChunk = Buffer.from('0\r\n\r\n');
const chunkOf = (bytes: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, crlf]);
