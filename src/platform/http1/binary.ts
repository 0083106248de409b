import type { Socket } from 'bun';

/**
 * Bytes as a string with one character for each byte (latin1). Heads and small bodies keep this form while they
 * pass through: viewing or copying a part of a buffer costs this runtime 2 to 3 µs, a substring next to nothing.
 */
export type BinaryString = string;

const beyondAscii = /[\x80-\uffff]/;

export const toBinaryString = (bytes: Buffer, start = 0, end = bytes.length): BinaryString =>
  bytes.toString('latin1', start, end);

/** Collects bytes that arrive in pieces in one growing buffer, which is never larger than twice its content. */
export class GrowingBuffer {
  length = 0;
  private buffer: Buffer = noBytes;
  private from = 0;

  append(bytes: Buffer, start = 0, end = bytes.length): void {
    const length = this.length + end - start;
    if (this.from + length > this.buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(firstCapacity, length, this.length * 2));
      this.buffer.copy(grown, 0, this.from, this.from + this.length);
      this.buffer = grown;
      this.from = 0;
    }
    bytes.copy(this.buffer, this.from + this.length, start, end);
    this.length = length;
  }

  /** The content; valid until more is appended. */
  view(): Buffer {
    return this.buffer.subarray(this.from, this.from + this.length);
  }

  /** Removes the first bytes. */
  drop(count: number): void {
    this.from += count;
    this.length -= count;
  }
}

const noBytes = Buffer.alloc(0);
const firstCapacity = 256;

/**
 * Collects bytes that arrive in pieces into one string. Nearly always there is one piece, which becomes a string
 * at once. Strings are not concatenated: a body in pieces of one byte became a rope of 50 bytes for each piece.
 */
export class BinaryStringBuilder {
  length = 0;
  private firstPiece: BinaryString = '';
  private pieces: GrowingBuffer | undefined;

  append(bytes: Buffer, start: number, end: number): void {
    if (this.length === 0) this.firstPiece = toBinaryString(bytes, start, end);
    else {
      if (this.pieces === undefined) {
        this.pieces = new GrowingBuffer();
        this.pieces.append(Buffer.from(this.firstPiece, 'latin1'));
        this.firstPiece = '';
      }
      this.pieces.append(bytes, start, end);
    }
    this.length += end - start;
  }

  build(): BinaryString {
    return this.pieces === undefined ? this.firstPiece : toBinaryString(this.pieces.view());
  }
}

/** The UTF-8 bytes of a text. */
export const encodeUtf8 = (text: string): BinaryString =>
  beyondAscii.test(text) ? Buffer.from(text).toString('latin1') : text;

/** The text whose UTF-8 bytes these are. */
export const decodeUtf8 = (binary: BinaryString): string =>
  beyondAscii.test(binary) ? Buffer.from(binary, 'latin1').toString() : binary;

// Synchronous writes go through this buffer, so that none is allocated for them.
const scratch = Buffer.allocUnsafe(256 * 1024);

/**
 * Writes to a socket and returns the bytes that it did not accept: undefined when it accepted all, 'closed' when
 * the connection is gone.
 */
export function writeBinary(
  socket: Socket<unknown>,
  binary: BinaryString,
): Uint8Array | 'closed' | undefined {
  if (binary.length > scratch.length) return writeBytes(socket, Buffer.from(binary, 'latin1'));
  scratch.write(binary, 'latin1');
  const written = socket.write(scratch, 0, binary.length);
  if (written === binary.length) return undefined;
  return written < 0 ? 'closed' : Buffer.from(scratch.subarray(written, binary.length));
}

export function writeBytes(socket: Socket<unknown>, bytes: Uint8Array): Uint8Array | 'closed' | undefined {
  const written = socket.write(bytes);
  if (written === bytes.length) return undefined;
  return written < 0 ? 'closed' : bytes.subarray(written);
}

/** Data for a socket: its remaining bytes, as `writeBinary` returns them. */
export const writeData = (
  socket: Socket<unknown>,
  data: BinaryString | Uint8Array,
): Uint8Array | 'closed' | undefined =>
  typeof data === 'string' ? writeBinary(socket, data) : writeBytes(socket, data);
