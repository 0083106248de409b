import type { BinaryString } from './binary.ts';

/** A request to an instance, ready to be sent. */
export interface OutgoingRequest {
  method: string;
  /** Path and query. */
  target: string;
  /** Valid header lines, each with its CRLF; Host and the framing are added here. */
  lines: string;
  /** Sent with its length; a stream is sent in chunks, and cannot be sent twice. */
  body: BinaryString | ReadableStream<Uint8Array> | undefined;
  /** Polled every few milliseconds: true once nobody waits for the answer, so that the exchange can end. */
  isAbandoned: () => boolean;
  /** Unix milliseconds until which the head of the answer must have arrived. */
  dueMs: number;
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const originForm = /^\/[\x21-\x7e]*$/;
const methodsWithBody = new Set(['POST', 'PUT', 'PATCH']);

/** The head, with its empty line. Throws TypeError for a method or target that a reader could misinterpret. */
export function formatRequestHead({ method, target, lines, body }: OutgoingRequest, host: string): string {
  if (!token.test(method)) throw new TypeError('invalid method');
  if (!originForm.test(target)) throw new TypeError('invalid target');
  return `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\n${lines}${framingLine(method, body)}\r\n`;
}

function framingLine(method: string, body: OutgoingRequest['body']): string {
  if (body === undefined) return methodsWithBody.has(method) ? 'content-length: 0\r\n' : '';
  return typeof body === 'string' ? `content-length: ${body.length}\r\n` : 'transfer-encoding: chunked\r\n';
}
