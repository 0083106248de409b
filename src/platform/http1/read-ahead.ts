import { GrowingBuffer } from './binary.ts';

// How many bytes of the next requests are kept while a request is in service.
const bytesMax = 64 * 1024;

/** The bytes that arrived on a connection after the request in service. */
export class ReadAhead {
  private buffer: GrowingBuffer | undefined;

  get isEmpty(): boolean {
    return this.buffer === undefined;
  }

  /**
   * Copies the bytes: a view of a few bytes would keep the whole read buffer alive, up to half a megabyte. Returns
   * false, and keeps nothing, when the client is too far ahead.
   */
  add(bytes: Buffer): boolean {
    if ((this.buffer?.length ?? 0) + bytes.length > bytesMax) {
      this.clear();
      return false;
    }
    this.buffer ??= new GrowingBuffer();
    this.buffer.append(bytes);
    return true;
  }

  /** Passes the bytes to `take`, which returns how many of them it has used. */
  consume(take: (bytes: Buffer) => number): void {
    const { buffer } = this;
    if (buffer === undefined) return;
    buffer.drop(take(buffer.view()));
    if (buffer.length === 0) this.clear();
  }

  clear(): void {
    this.buffer = undefined;
  }
}
