import { MalformedResponse, parseResponseHead, type ResponseHead } from './response-head.ts';

/** Hears one response after the other. Bytes are views of what was fed: copy what must outlive the call. */
export interface ResponseSink {
  head(head: ResponseHead): void;
  body(bytes: Buffer): void;
  end(): void;
}

export interface ResponseReader {
  /** A request of this method was sent: its response comes next. */
  expect(method: string): void;
  /** Throws MalformedResponse, also when nothing was expected; the reader is of no use after that. */
  feed(bytes: Buffer): void;
  /** The peer sends nothing more. Throws MalformedResponse when the response was not whole. */
  finish(): void;
}

/**
 * idle ──expect──► head ──► length | until_close ─────────────────► idle
 *                  ▲  │ └──► size ──► chunk ──► chunk_end ─┐ ▲
 *                  └──┘       ▲ └─────► trailer ───────────┼─┘
 *             (1xx: the next) └────────────────────────────┘
 */
type State = 'idle' | 'head' | 'length' | 'until_close' | 'size' | 'chunk' | 'chunk_end' | 'trailer';

const interimResponsesMax = 8;
const sizeLineBytesMax = 256;
const sizeLine = /^([0-9a-fA-F]{1,8})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/;
const headEnd = '\r\n\r\n';
const lineEnd = '\r\n';

/** Reads HTTP/1.1 responses from bytes that come in any pieces. `headBytesMax` bounds a head, and the trailers. */
export function createResponseReader(sink: ResponseSink, headBytesMax: number): ResponseReader {
  let state: State = 'idle';
  let method = '';
  let interim = 0;
  let remaining = 0;
  let trailerBytes = 0;
  /** The beginning of a head or line whose end has not come yet. */
  let pending: Buffer | undefined;
  let pendingBytes = 0;

  return {
    expect(asked) {
      method = asked;
      interim = 0;
      state = 'head';
    },
    feed(bytes) {
      let at = 0;
      while (at < bytes.length) at = step(bytes, at);
    },
    finish() {
      if (state === 'until_close') end();
      else if (state !== 'idle')
        throw new MalformedResponse('the upstream closed before its answer was whole');
    },
  };

  /** Takes in what belongs to the present state, and returns where the rest begins. */
  function step(bytes: Buffer, at: number): number {
    switch (state) {
      case 'idle':
        throw new MalformedResponse('the upstream sent more than its answer');
      case 'head':
        return readUntil(bytes, at, headEnd, headBytesMax, readHead);
      case 'length':
      case 'chunk':
        return readBody(bytes, at);
      case 'until_close':
        sink.body(bytes.subarray(at));
        return bytes.length;
      case 'size':
        return readUntil(bytes, at, lineEnd, sizeLineBytesMax, readSize);
      case 'chunk_end':
        return readUntil(bytes, at, lineEnd, lineEnd.length, readChunkEnd);
      case 'trailer':
        return readUntil(bytes, at, lineEnd, headBytesMax, readTrailer);
    }
  }

  /** Gathers up to and with `mark`, at most `bytesMax`, and hands over the text before it. */
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
      if (next - at > bytesMax) tooLong();
      if (found < 0) keep(bytes, at, next, bytesMax);
      else read(bytes.toString('latin1', at, found));
      return next;
    }
    const before = pendingBytes;
    const taken = Math.min(bytes.length - at, bytesMax - before);
    keep(bytes, at, at + taken, bytesMax);
    // The mark may have begun in what was kept before.
    const from = Math.max(0, before - mark.length + 1);
    const found = pending.subarray(0, pendingBytes).indexOf(mark, from, 'latin1');
    if (found < 0) {
      if (pendingBytes >= bytesMax) tooLong();
      return at + taken;
    }
    const text = pending.toString('latin1', 0, found);
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
    const head = parseResponseHead(text, method);
    if (head.status === 101) throw new MalformedResponse('the upstream switched protocols unasked');
    if (head.status < 200) {
      if (++interim > interimResponsesMax) throw new MalformedResponse('too many interim answers');
      return;
    }
    const { framing } = head;
    sink.head(head);
    if (framing.kind === 'length') remaining = framing.bytes;
    if (framing.kind === 'none' || (framing.kind === 'length' && framing.bytes === 0)) end();
    else state = framing.kind === 'chunked' ? 'size' : framing.kind;
  }

  function readBody(bytes: Buffer, at: number): number {
    const next = Math.min(bytes.length, at + remaining);
    remaining -= next - at;
    sink.body(bytes.subarray(at, next));
    if (remaining === 0) {
      if (state === 'chunk') state = 'chunk_end';
      else end();
    }
    return next;
  }

  function readSize(text: string): void {
    const [, digits] = sizeLine.exec(text) ?? [];
    if (digits === undefined) throw new MalformedResponse("the upstream's chunk size cannot be read");
    remaining = Number.parseInt(digits, 16);
    trailerBytes = 0;
    state = remaining === 0 ? 'trailer' : 'chunk';
  }

  function readChunkEnd(text: string): void {
    if (text !== '') throw new MalformedResponse("the upstream's chunk is longer than it said");
    state = 'size';
  }

  /** Trailers end at this hop: nobody behind us asked for them. */
  function readTrailer(text: string): void {
    trailerBytes += text.length + lineEnd.length;
    if (trailerBytes > headBytesMax) tooLong();
    if (text === '') end();
  }

  function end(): void {
    state = 'idle';
    sink.end();
  }
}

function tooLong(): never {
  throw new MalformedResponse('the upstream sent a head or line that is too long');
}
