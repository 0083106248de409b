import {
  assertFieldLine,
  fieldLineCountMax,
  MalformedMessage,
  TargetTooLong,
  tooManyLinesError,
} from './fields.ts';
import type { Framing } from './framing.ts';

/** Hears one message. */
export interface MessageSink {
  /**
   * The first line and the header lines, each with its CRLF; gives how the body is framed, or undefined when
   * this was an interim message and another head follows. Throws MalformedMessage.
   */
  onHead(text: string): Framing | undefined;
  /** A part of the body: what is in `bytes` from `start` to `end`, which is good for this call only. */
  onBody(bytes: Buffer, start: number, end: number): void;
  onEnd(): void;
}

export interface MessageReader {
  /** A message comes next. */
  begin(): void;
  /**
   * Takes in what belongs to the message, and returns how many bytes that were: fewer than all only when it
   * ended before. Throws MalformedMessage; the reader is of no use after that.
   */
  feed(bytes: Buffer): number;
  /** The peer sends nothing more. Throws MalformedMessage when a message has begun and is not whole. */
  finish(): void;
  /** Something of a head has come, and not all of it. */
  isInHead(): boolean;
}

/**
 * idle ──begin──► head ──► length | until_close ──────────────────► idle
 *                 ▲  │ └──► size ──► chunk ──► chunk_end ─┐ ▲
 *                 └──┘       ▲ └─────► trailer ───────────┼─┘
 *               (interim)    └────────────────────────────┘
 */
type State = 'idle' | 'head' | 'length' | 'until_close' | 'size' | 'chunk' | 'chunk_end' | 'trailer';

const sizeLineBytesMax = 256;
/** RFC 9112 §7.1: a size, then extensions, each a name and maybe a value, which is a token or a quoted string. */
const sizeLine = (() => {
  const token = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
  const quoted = '"(?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t \\x21-\\x7e\\x80-\\xff])*"';
  const value = `[\\t ]*=[\\t ]*(?:${token}|${quoted})`;
  return new RegExp(`^([0-9a-fA-F]{1,8})(?:[\\t ]*;[\\t ]*${token}(?:${value})?)*$`);
})();
/**
 * What chunks may cost beyond what they carry: so many bytes, and one more for each byte of the body. A
 * body in chunks of one byte is 6 bytes on the wire for each; extensions can be any number of bytes for none.
 */
const overheadBytesFree = 16 * 1024;
const emptyBytes = Buffer.alloc(0);
const headEnd = '\r\n\r\n';
const lineEnd = '\r\n';

/** Reads HTTP/1.1 messages from bytes that come in any pieces. `headBytesMax` bounds a head, and the trailers. */
export function createMessageReader(sink: MessageSink, headBytesMax: number): MessageReader {
  let state: State = 'idle';
  let remaining = 0;
  /** Of the chunked body so far: bytes that are no body, and how many the chunks carry. */
  let overheadBytes = 0;
  let chunkedBytes = 0;
  let trailerBytes = 0;
  let trailerLines = 0;
  /** The beginning of a head or line whose end has not come yet. */
  let pending: Buffer | undefined;
  let pendingBytes = 0;

  return {
    begin() {
      state = 'head';
    },
    feed(bytes) {
      let at = 0;
      while (at < bytes.length && state !== 'idle') at = step(bytes, at);
      return at;
    },
    finish() {
      if (state === 'until_close') end();
      else if (state !== 'idle') throw new MalformedMessage('a message that ends early');
    },
    isInHead: () => state === 'head' && pending !== undefined,
  };

  /** Takes in what belongs to the present state, and returns where the rest begins. */
  function step(bytes: Buffer, at: number): number {
    switch (state) {
      case 'idle':
        return at;
      case 'head':
        return readUntil(bytes, at, headEnd, headBytesMax, readHead);
      case 'length':
      case 'chunk':
        return readBody(bytes, at);
      case 'until_close':
        sink.onBody(bytes, at, bytes.length);
        return bytes.length;
      case 'size':
        return readUntil(bytes, at, lineEnd, sizeLineBytesMax, readSize);
      case 'chunk_end':
        return readUntil(bytes, at, lineEnd, lineEnd.length, readChunkEnd);
      case 'trailer':
        return readUntil(bytes, at, lineEnd, headBytesMax, readTrailer);
    }
  }

  /** Gathers up to and with `mark`, at most `bytesMax`, and hands over the text with its last CRLF. */
  function readUntil(
    bytes: Buffer,
    at: number,
    mark: string,
    bytesMax: number,
    read: (text: string) => void,
  ): number {
    if (pending === undefined) {
      const found = bytes.indexOf(mark, at, 'latin1');
      const next = found < 0 ? bytes.length : found + mark.length;
      if (next - at > bytesMax) throw tooLong(bytes.subarray(at, at + bytesMax));
      if (found < 0) keep(bytes, at, next, bytesMax);
      else read(bytes.toString('latin1', at, found + lineEnd.length));
      return next;
    }
    const before = pendingBytes;
    const taken = Math.min(bytes.length - at, bytesMax - before);
    keep(bytes, at, at + taken, bytesMax);
    // The mark may have begun in what was kept before.
    const from = Math.max(0, before - mark.length + 1);
    const found = pending.subarray(0, pendingBytes).indexOf(mark, from, 'latin1');
    if (found < 0) {
      if (pendingBytes >= bytesMax) throw tooLong(pending);
      return at + taken;
    }
    const text = pending.toString('latin1', 0, found + lineEnd.length);
    pending = undefined;
    pendingBytes = 0;
    read(text);
    return at + found + mark.length - before;
  }

  function keep(bytes: Buffer, from: number, to: number, bytesMax: number): void {
    pending ??= Buffer.allocUnsafe(bytesMax);
    pendingBytes += bytes.copy(pending, pendingBytes, from, to);
  }

  function readHead(text: string): void {
    const framing = sink.onHead(text);
    if (framing === undefined) return;
    if (framing.kind === 'length') remaining = framing.bytes;
    overheadBytes = 0;
    chunkedBytes = 0;
    if (framing.kind === 'none' || (framing.kind === 'length' && framing.bytes === 0)) end();
    else state = framing.kind === 'chunked' ? 'size' : framing.kind;
  }

  function readBody(bytes: Buffer, at: number): number {
    const next = Math.min(bytes.length, at + remaining);
    remaining -= next - at;
    sink.onBody(bytes, at, next);
    if (remaining === 0) {
      if (state === 'chunk') state = 'chunk_end';
      else end();
    }
    return next;
  }

  function readSize(line: string): void {
    const [, digits] = sizeLine.exec(line.slice(0, -lineEnd.length)) ?? [];
    if (digits === undefined) throw new MalformedMessage('the size of a chunk');
    remaining = Number.parseInt(digits, 16);
    chunkedBytes += remaining;
    overheadBytes += line.length + lineEnd.length;
    if (overheadBytes > overheadBytesFree + chunkedBytes)
      throw new MalformedMessage('a body in such small chunks');
    trailerBytes = 0;
    trailerLines = 0;
    state = remaining === 0 ? 'trailer' : 'chunk';
  }

  function readChunkEnd(line: string): void {
    if (line !== lineEnd) throw new MalformedMessage('the end of a chunk');
    state = 'size';
  }

  /** Trailers are not forwarded. They are read as strictly as header lines all the same: what follows them is the next message. */
  function readTrailer(line: string): void {
    trailerBytes += line.length;
    if (trailerBytes > headBytesMax) throw tooLong(emptyBytes);
    if (line === lineEnd) {
      end();
      return;
    }
    if (++trailerLines > fieldLineCountMax) throw tooManyLinesError();
    assertFieldLine(line);
  }

  function end(): void {
    state = 'idle';
    sink.onEnd();
  }

  function tooLong(begun: Buffer): MalformedMessage {
    // An empty line before the first one is read over, wherever it is.
    if (state === 'head' && begun.indexOf(lineEnd, lineEnd.length) < 0) return new TargetTooLong();
    const isHead = state === 'head' || state === 'trailer';
    return new MalformedMessage(isHead ? 'a head that is so long' : 'the line of a chunk', isHead);
  }
}
