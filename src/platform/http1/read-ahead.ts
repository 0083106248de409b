import { GrowingBuffer } from './binary.ts';

// The next requests may come before the answer to this one: so much of them is taken in.
const bytesMax = 64 * 1024;

/** What has come on a connection behind the request in service. */
export class ReadAhead {
  private buffer: GrowingBuffer | undefined;

  get isEmpty(): boolean {
    return this.buffer === undefined;
  }

  /**
   * Copies: a part of a few bytes would keep alive all that was read with it, up to half a megabyte. False,
   * and nothing is kept, when the client is too far ahead.
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

  /** Hands over what is there; `take` gives how many of the bytes it took. */
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
