import type { BinaryString } from './binary.ts';

/** A request to an instance, ready to be written. */
export interface OutgoingRequest {
  method: string;
  /** Path and query. */
  target: string;
  /** Header lines, each with its CRLF and fit to send; Host and the framing are added here. */
  lines: string;
  /** Goes with its length; a stream goes in chunks, and can't be sent twice. */
  body: BinaryString | ReadableStream<Uint8Array> | undefined;
  /** Asked every few milliseconds: nobody waits for the answer any more, stop working for it. */
  isAbandoned: () => boolean;
  /** Unix milliseconds until which the answer's head must be there. */
  dueMs: number;
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const originForm = /^\/[\x21-\x7e]*$/;
const methodsWithBody = new Set(['POST', 'PUT', 'PATCH']);

/** The head, with its empty line. Throws TypeError on a method or target that would be read as something else. */
export function formatRequestHead({ method, target, lines, body }: OutgoingRequest, host: string): string {
  if (!token.test(method)) throw new TypeError('not a method');
  if (!originForm.test(target)) throw new TypeError('not a target');
  return `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\n${lines}${framing(method, body)}\r\n`;
}

function framing(method: string, body: OutgoingRequest['body']): string {
  if (body === undefined) return methodsWithBody.has(method) ? 'content-length: 0\r\n' : '';
  return typeof body === 'string' ? `content-length: ${body.length}\r\n` : 'transfer-encoding: chunked\r\n';
}
