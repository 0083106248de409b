import { STATUS_CODES } from 'node:http';
import type { BinaryString } from './binary.ts';

/** An answer on its way: as an instance gave it, or as one of ours was made. */
export interface Reply {
  status: number;
  /** Header lines, each with its CRLF; framing, date and what belongs to a connection are added when it is sent. */
  lines: string;
  /** Goes with its length; a stream goes in chunks, at the pace of its reader. */
  body: BinaryString | ReadableStream<Uint8Array> | undefined;
}

/** Ends the stream of a reply that is not sent. */
export function discardReply({ body }: Reply): void {
  if (body instanceof ReadableStream) body.cancel().catch(() => undefined);
}

/** Told to a client that waits with its body. */
export const continueResponse = 'HTTP/1.1 100 Continue\r\n\r\n';

/**
 * Told to a client that has ended its side while its answer is not there yet. One that is gone resets the
 * connection; one that reads on passes over what is interim (RFC 9110 §15.2).
 */
export const processingResponse = 'HTTP/1.1 102 Processing\r\n\r\n';

const statusLines = new Map<number, string>();

function statusLineOf(status: number): string {
  const known = statusLines.get(status);
  if (known !== undefined) return known;
  const line = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`;
  statusLines.set(status, line);
  return line;
}

export interface ReplyContext {
  method: string;
  /** The date line, with its CRLF. */
  dateLine: string;
  /** Whether the client's version knows chunks; without them a stream ends with its connection. */
  supportsChunked: boolean;
  keepAlive: boolean;
}

/** A reply as it is sent: its head, and its body unless that is a stream. Its lines are not looked at again. */
export function formatReply(reply: Reply, context: ReplyContext): BinaryString {
  const { status, lines, body } = reply;
  const framing = framingOf(reply, context);
  const head = `${statusLineOf(status)}${lines}${context.dateLine}${framing}${persistence(context)}\r\n`;
  return typeof body !== 'string' || context.method === 'HEAD' ? head : head + body;
}

/** HTTP/1.1 keeps a connection unless told otherwise, HTTP/1.0 only when told (RFC 9112 §9.3). */
function persistence({ keepAlive, supportsChunked: isHttp11 }: ReplyContext): string {
  if (!keepAlive) return 'connection: close\r\n';
  return isHttp11 ? '' : 'connection: keep-alive\r\n';
}

function framingOf({ status, body }: Reply, { method, supportsChunked }: ReplyContext): string {
  if (status === 204 || status === 304 || status < 200) return '';
  if (body instanceof ReadableStream) return supportsChunked ? 'transfer-encoding: chunked\r\n' : '';
  if (body !== undefined) return `content-length: ${body.length}\r\n`;
  // To HEAD the lines say what the length would have been, if anybody knows.
  return method === 'HEAD' ? '' : 'content-length: 0\r\n';
}
