import type { Socket } from 'bun';

/**
 * Bytes as text, one character for each (latin1). Heads and small bodies are kept so while they pass through:
 * to view or copy a part of a buffer costs this runtime 2 to 3 µs, a part of a string next to nothing.
 */
export type BinaryString = string;

const beyondAscii = /[\x80-\uffff]/;

export const toBinaryString = (bytes: Buffer, start = 0, end = bytes.length): BinaryString =>
  bytes.toString('latin1', start, end);

/** Bytes that come in pieces, in one buffer that grows with them: never more than twice what it holds. */
export class GrowingBuffer {
  length = 0;
  private buffer: Buffer = noBytes;
  private from = 0;

  append(bytes: Buffer, start = 0, end = bytes.length): void {
    const length = this.length + end - start;
    if (this.from + length > this.buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(leastGrownBytes, length, this.length * 2));
      this.buffer.copy(grown, 0, this.from, this.from + this.length);
      this.buffer = grown;
      this.from = 0;
    }
    bytes.copy(this.buffer, this.from + this.length, start, end);
    this.length = length;
  }

  /** What is held; good until more is added. */
  view(): Buffer {
    return this.buffer.subarray(this.from, this.from + this.length);
  }

  /** Lets go of the first bytes. */
  drop(count: number): void {
    this.from += count;
    this.length -= count;
  }
}

const noBytes = Buffer.alloc(0);
const leastGrownBytes = 256;

/**
 * Bytes that come in pieces, as one text. Nearly always there is one piece, and that is a text at once.
 * Texts are not joined: a body in pieces of one byte was a rope of 50 bytes for each of them.
 */
export class BinaryStringBuilder {
  length = 0;
  private first: BinaryString = '';
  private all: GrowingBuffer | undefined;

  append(bytes: Buffer, start: number, end: number): void {
    if (this.length === 0) this.first = toBinaryString(bytes, start, end);
    else {
      if (this.all === undefined) {
        this.all = new GrowingBuffer();
        this.all.append(Buffer.from(this.first, 'latin1'));
        this.first = '';
      }
      this.all.append(bytes, start, end);
    }
    this.length += end - start;
  }

  build(): BinaryString {
    return this.all === undefined ? this.first : toBinaryString(this.all.view());
  }
}

/** The bytes of a text in UTF-8. */
export const encodeUtf8 = (text: string): BinaryString =>
  beyondAscii.test(text) ? Buffer.from(text).toString('latin1') : text;

/** The text that the bytes are in UTF-8. */
export const decodeUtf8 = (binary: BinaryString): string =>
  beyondAscii.test(binary) ? Buffer.from(binary, 'latin1').toString() : binary;

// What is written at once passes through here, so that no buffer is made for it.
const scratch = Buffer.allocUnsafe(256 * 1024);

/** Writes to a socket, and returns what it did not take; undefined when it took all, 'closed' when it is gone. */
export function writeBinary(
  socket: Socket<unknown>,
  binary: BinaryString,
): Uint8Array | 'closed' | undefined {
  if (binary.length > scratch.length) return writeBytes(socket, Buffer.from(binary, 'latin1'));
  scratch.write(binary, 'latin1');
  const taken = socket.write(scratch, 0, binary.length);
  if (taken === binary.length) return undefined;
  return taken < 0 ? 'closed' : Buffer.from(scratch.subarray(taken, binary.length));
}

export function writeBytes(socket: Socket<unknown>, bytes: Uint8Array): Uint8Array | 'closed' | undefined {
  const taken = socket.write(bytes);
  if (taken === bytes.length) return undefined;
  return taken < 0 ? 'closed' : bytes.subarray(taken);
}
