import type { BinaryString } from '@platform/http1/binary.ts';
import { parseFieldLines } from '@platform/http1/fields.ts';
import type { Reply } from '@platform/http1/reply.ts';
import { createRequestHeadParser } from '@platform/http1/request-head.ts';
import type { Http1Answer } from '@platform/http1/server.ts';
import { ServerRequest } from '@platform/http1/server-request.ts';

const chunked = { 'transfer-encoding': 'chunked' };
const readHead = createRequestHeadParser([]);

export interface ServerRequestParts {
  method?: string;
  /** Path and query. */
  target?: string;
  headers?: Readonly<Record<string, string>>;
  /** A promise of one comes in chunks. */
  body?: BinaryString | Promise<BinaryString>;
}

/** A request as the server would hand it over, without a server. */
export function createServerRequest({
  method = 'GET',
  target = '/',
  headers = {},
  body = '',
}: ServerRequestParts): ServerRequest {
  const framing = body instanceof Promise ? chunked : body === '' ? {} : { 'content-length': body.length };
  const framed = { host: 'edge', ...framing, ...headers };
  const lines = Object.entries(framed).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = readHead(`${method} ${target} HTTP/1.1\r\n${lines.join('')}`);
  const incoming = {
    readAll: () => body,
    stream: () => new Blob(body instanceof Promise ? [] : [body]).stream(),
  };
  return new ServerRequest(head, incoming, { isInFlight: () => true, peerAddress: () => '127.0.0.1' });
}

/** What was answered, in the words of `fetch`. */
export async function awaitResponse(answer: Http1Answer | Promise<Http1Answer>): Promise<Response> {
  const reply = await answer;
  if ('start' in reply) throw new Error('answered with another protocol');
  return replyToResponse(reply);
}

/** A reply as clients see it. */
export const replyToResponse = ({ status, lines, body }: Reply): Response =>
  new Response(typeof body === 'string' ? Buffer.from(body, 'latin1') : body, {
    status,
    headers: parseFieldLines(lines),
  });
