import { STATUS_CODES } from 'node:http';
import type { BinaryString } from './binary.ts';

/** A response to send: received from an instance, or created by the edge. */
export interface Reply {
  status: number;
  /** Header lines, each with its CRLF. Framing, Date and headers of the connection are added when it is sent. */
  lines: string;
  /** Sent with its length; a stream is sent in chunks, at the pace of its reader. */
  body: BinaryString | ReadableStream<Uint8Array> | undefined;
}

/** Cancels the stream of a reply that is not sent. */
export function discardReply({ body }: Reply): void {
  if (body instanceof ReadableStream) body.cancel().catch(() => undefined);
}

/** Sent to a client that waits before it sends its body. */
export const continueResponse = 'HTTP/1.1 100 Continue\r\n\r\n';

/**
 * Sent to a client that has ended its side while its request is in flight. A client that is gone resets the
 * connection; one that still reads skips interim responses (RFC 9110 §15.2).
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
  /** The Date line, with its CRLF. */
  dateLine: string;
  /** Whether the client's HTTP version has chunks; without them a stream ends with its connection. */
  supportsChunked: boolean;
  keepAlive: boolean;
}

/** The bytes of a reply: its head, and its body unless that is a stream. Its lines are not validated again. */
export function formatReply(reply: Reply, context: ReplyContext): BinaryString {
  const { status, lines, body } = reply;
  const framing = framingLine(reply, context);
  const head = `${statusLineOf(status)}${lines}${context.dateLine}${framing}${persistenceLine(context)}\r\n`;
  return typeof body !== 'string' || context.method === 'HEAD' ? head : head + body;
}

/** HTTP/1.1 keeps a connection by default, HTTP/1.0 only on request (RFC 9112 §9.3). */
function persistenceLine({ keepAlive, supportsChunked: isHttp11 }: ReplyContext): string {
  if (!keepAlive) return 'connection: close\r\n';
  return isHttp11 ? '' : 'connection: keep-alive\r\n';
}

function framingLine({ status, body }: Reply, { method, supportsChunked }: ReplyContext): string {
  if (status === 204 || status === 304 || status < 200) return '';
  if (body instanceof ReadableStream) return supportsChunked ? 'transfer-encoding: chunked\r\n' : '';
  if (body !== undefined) return `content-length: ${body.length}\r\n`;
  // For HEAD the lines contain the length that the body would have, if it is known.
  return method === 'HEAD' ? '' : 'content-length: 0\r\n';
}
