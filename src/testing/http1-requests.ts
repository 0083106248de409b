import type { BinaryString } from '@platform/http1/binary.ts';
import { parseFieldLines } from '@platform/http1/fields.ts';
import type { Http1Answer } from '@platform/http1/http1-answer.ts';
import type { Reply } from '@platform/http1/reply.ts';
import { createRequestHeadParser } from '@platform/http1/request-head.ts';
import { ServerRequest } from '@platform/http1/server-request.ts';

const chunkedFraming = { 'transfer-encoding': 'chunked' };
const parseHead = createRequestHeadParser([]);

export interface ServerRequestParts {
  method?: string;
  /** Path and query. */
  target?: string;
  headers?: Readonly<Record<string, string>>;
  /** A promise stands for a chunked body. */
  body?: BinaryString | Promise<BinaryString>;
}

/** A request as the server would pass it to its handler, without a server. */
export function createServerRequest({
  method = 'GET',
  target = '/',
  headers = {},
  body = '',
}: ServerRequestParts): ServerRequest {
  const framing =
    body instanceof Promise ? chunkedFraming : body === '' ? {} : { 'content-length': body.length };
  const allHeaders = { host: 'edge', ...framing, ...headers };
  const lines = Object.entries(allHeaders).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = parseHead(`${method} ${target} HTTP/1.1\r\n${lines.join('')}`);
  const incoming = {
    readAll: () => body,
    stream: () => new Blob(body instanceof Promise ? [] : [body]).stream(),
  };
  return new ServerRequest(head, incoming, {
    isInFlight: () => true,
    socket: { peerAddress: () => '127.0.0.1' },
  });
}

/** The answer as a `fetch` response. */
export async function awaitResponse(answer: Http1Answer | Promise<Http1Answer>): Promise<Response> {
  const reply = await answer;
  if ('start' in reply) throw new Error('answered with another protocol');
  return replyToResponse(reply);
}

/** A reply as a `fetch` response. */
export const replyToResponse = ({ status, lines, body }: Reply): Response =>
  new Response(typeof body === 'string' ? Buffer.from(body, 'latin1') : body, {
    status,
    headers: parseFieldLines(lines),
  });
