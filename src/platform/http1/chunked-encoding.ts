import { MalformedMessage } from '../http-message/malformed-message.ts';
import { assertFieldLine, fieldLineCountMax, tooManyLinesError } from './fields.ts';

const crlf = Buffer.from('\r\n');

/** The last chunk of a body, without trailers. */
export const lastChunk = Buffer.from('0\r\n\r\n');

export const encodeChunk = (bytes: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, crlf]);

/** RFC 9112 §7.1: a size, then extensions, each a name and maybe a value, which is a token or a quoted string. */
const sizeLine = (() => {
  const token = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
  const quoted = '"(?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t \\x21-\\x7e\\x80-\\xff])*"';
  const value = `[\\t ]*=[\\t ]*(?:${token}|${quoted})`;
  return new RegExp(`^([0-9a-fA-F]{1,8})(?:[\\t ]*;[\\t ]*${token}(?:${value})?)*$`);
})();
/**
 * How many bytes chunks may use beyond their content: this many, and one more for each byte of the body. A body
 * in chunks of one byte needs 6 bytes for each on the wire; extensions can need any number of bytes for nothing.
 */
const freeOverheadBytes = 16 * 1024;
const crlfLength = 2;

/** Reads the lines around the chunks of one body, and bounds how many bytes they may use. */
export class ChunkLines {
  private overheadBytes = 0;
  private contentBytes = 0;
  private trailerBytes = 0;
  private trailerLines = 0;

  constructor(private readonly trailerBytesMax: number) {}

  /** Another body begins. */
  reset(): void {
    this.overheadBytes = 0;
    this.contentBytes = 0;
    this.trailerBytes = 0;
    this.trailerLines = 0;
  }

  /** Returns the size of the chunk that follows; 0 when trailers follow. Throws MalformedMessage. */
  parseSize(line: string): number {
    const [, digits] = sizeLine.exec(line.slice(0, -crlfLength)) ?? [];
    if (digits === undefined) throw new MalformedMessage('chunk size');
    const size = Number.parseInt(digits, 16);
    this.contentBytes += size;
    this.overheadBytes += line.length + crlfLength;
    if (this.overheadBytes > freeOverheadBytes + this.contentBytes)
      throw new MalformedMessage('too many bytes around the chunks');
    return size;
  }

  /**
   * Trailers are not forwarded, but they are read as strictly as header lines: the next message follows them.
   * Returns whether this was the empty line after the last one. Throws MalformedMessage.
   */
  checkTrailer(line: string): boolean {
    this.trailerBytes += line.length;
    if (this.trailerBytes > this.trailerBytesMax) throw new MalformedMessage('trailers too long', true);
    if (line.length === crlfLength) return true;
    if (++this.trailerLines > fieldLineCountMax) throw tooManyLinesError();
    assertFieldLine(line);
    return false;
  }
}
