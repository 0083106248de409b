/** Reads text up to a delimiter from bytes that arrive in any pieces, and keeps its beginning between them. */
export class DelimitedText {
  private pending: Buffer | undefined;
  private pendingBytes = 0;

  /** A beginning has arrived, and its delimiter has not. */
  isPending(): boolean {
    return this.pending !== undefined;
  }

  /**
   * Reads from `at` up to and including `delimiter`, at most `bytesMax`. Calls `onText` with the text and the
   * first CRLF of the delimiter, or `onTooLong` with what there is. Returns where the next text begins.
   */
  read(
    bytes: Buffer,
    at: number,
    delimiter: string,
    bytesMax: number,
    onText: (text: string) => void,
    onTooLong: (beginning: Buffer) => never,
  ): number {
    if (this.pending === undefined) {
      const found = bytes.indexOf(delimiter, at, 'latin1');
      const next = found < 0 ? bytes.length : found + delimiter.length;
      if (next - at > bytesMax) onTooLong(bytes.subarray(at, at + bytesMax));
      if (found < 0) this.keep(bytes, at, next, bytesMax);
      else onText(bytes.toString('latin1', at, found + crlfLength));
      return next;
    }
    const before = this.pendingBytes;
    const taken = Math.min(bytes.length - at, bytesMax - before);
    const pending = this.keep(bytes, at, at + taken, bytesMax);
    // The delimiter may have begun in the bytes that were kept before.
    const from = Math.max(0, before - delimiter.length + 1);
    const found = pending.subarray(0, this.pendingBytes).indexOf(delimiter, from, 'latin1');
    if (found < 0) {
      if (this.pendingBytes >= bytesMax) onTooLong(pending);
      return at + taken;
    }
    const text = pending.toString('latin1', 0, found + crlfLength);
    this.pending = undefined;
    this.pendingBytes = 0;
    onText(text);
    return at + found + delimiter.length - before;
  }

  private keep(bytes: Buffer, from: number, to: number, bytesMax: number): Buffer {
    this.pending ??= Buffer.allocUnsafe(bytesMax);
    this.pendingBytes += bytes.copy(this.pending, this.pendingBytes, from, to);
    return this.pending;
  }
}

const crlfLength = 2;
