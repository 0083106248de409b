import { MalformedMessage, TargetTooLong } from '../http-message/malformed-message.ts';
import { ChunkLines } from './chunked-encoding.ts';
import { DelimitedText } from './delimited-text.ts';
import type { Framing } from './framing.ts';

/** Receives the parts of one message. */
export interface MessageSink {
  /**
   * The first line and the header lines, each with its CRLF. Returns how the body is framed, or undefined for an
   * interim message, after which another head follows. Throws MalformedMessage.
   */
  onHead(text: string): Framing | undefined;
  /** A part of the body: the bytes from `start` to `end`, valid during this call only. */
  onBody(bytes: Buffer, start: number, end: number): void;
  onEnd(): void;
}

export interface MessageReader {
  /** Expects a message. */
  begin(): void;
  /**
   * Reads the bytes that belong to the message and returns their number: fewer than all only when the message
   * ends before them. Throws MalformedMessage; the reader is unusable afterwards.
   */
  feed(bytes: Buffer): number;
  /** The peer sends nothing more. Throws MalformedMessage when a message has begun and is not complete. */
  finish(): void;
  /** Whether a part of a head has arrived, and not all of it. */
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
const headEnd = '\r\n\r\n';
const lineEnd = '\r\n';

/** Reads HTTP/1.1 messages from bytes that arrive in any pieces. `headBytesMax` bounds a head, and the trailers. */
export function createMessageReader(sink: MessageSink, headBytesMax: number): MessageReader {
  let state: State = 'idle';
  let remainingBytes = 0;
  const chunkLines = new ChunkLines(headBytesMax);
  const text = new DelimitedText();

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
      else if (state !== 'idle') throw new MalformedMessage('the connection ended before the message');
    },
    isInHead: () => state === 'head' && text.isPending(),
  };

  /** Reads the bytes that belong to the current state, and returns where the others begin. */
  function step(bytes: Buffer, at: number): number {
    switch (state) {
      case 'idle':
        return at;
      case 'head':
        return text.read(bytes, at, headEnd, headBytesMax, readHead, rejectLongHead);
      case 'length':
      case 'chunk':
        return readBody(bytes, at);
      case 'until_close':
        sink.onBody(bytes, at, bytes.length);
        return bytes.length;
      case 'size':
        return text.read(bytes, at, lineEnd, sizeLineBytesMax, readSize, rejectLongLine);
      case 'chunk_end':
        return text.read(bytes, at, lineEnd, lineEnd.length, readChunkEnd, rejectLongLine);
      case 'trailer':
        return text.read(bytes, at, lineEnd, headBytesMax, readTrailer, rejectLongTrailer);
    }
  }

  function readHead(head: string): void {
    const framing = sink.onHead(head);
    if (framing === undefined) return;
    if (framing.kind === 'length') remainingBytes = framing.bytes;
    if (framing.kind === 'none' || (framing.kind === 'length' && framing.bytes === 0)) end();
    else if (framing.kind === 'chunked') {
      chunkLines.reset();
      state = 'size';
    } else state = framing.kind;
  }

  function readBody(bytes: Buffer, at: number): number {
    const next = Math.min(bytes.length, at + remainingBytes);
    remainingBytes -= next - at;
    sink.onBody(bytes, at, next);
    if (remainingBytes === 0) {
      if (state === 'chunk') state = 'chunk_end';
      else end();
    }
    return next;
  }

  function readSize(line: string): void {
    remainingBytes = chunkLines.parseSize(line);
    state = remainingBytes === 0 ? 'trailer' : 'chunk';
  }

  function readChunkEnd(line: string): void {
    if (line !== lineEnd) throw new MalformedMessage('no CRLF after a chunk');
    state = 'size';
  }

  function readTrailer(line: string): void {
    if (chunkLines.checkTrailer(line)) end();
  }

  function end(): void {
    state = 'idle';
    sink.onEnd();
  }
}

function rejectLongHead(beginning: Buffer): never {
  // An empty line before the first one is skipped, wherever the head is cut.
  if (beginning.indexOf(lineEnd, lineEnd.length) < 0) throw new TargetTooLong();
  throw new MalformedMessage('head too long', true);
}

function rejectLongTrailer(): never {
  throw new MalformedMessage('trailers too long', true);
}

function rejectLongLine(): never {
  throw new MalformedMessage('chunk line too long');
}
