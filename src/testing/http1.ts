import type { Binary } from '@platform/http1/binary.ts';
import { fieldPairs } from '@platform/http1/fields.ts';
import type { Reply } from '@platform/http1/reply.ts';
import { createRequestHeadReader } from '@platform/http1/request-head.ts';
import type { Answer } from '@platform/http1/server.ts';
import { ServerRequest } from '@platform/http1/server-request.ts';

const chunked = { 'transfer-encoding': 'chunked' };
const readHead = createRequestHeadReader([]);

export interface AskedRequest {
  method?: string;
  /** Path and query. */
  target?: string;
  headers?: Readonly<Record<string, string>>;
  /** A promise of one comes in chunks. */
  body?: Binary | Promise<Binary>;
}

/** A request as the server would hand it over, without a server. */
export function serverRequest({
  method = 'GET',
  target = '/',
  headers = {},
  body = '',
}: AskedRequest): ServerRequest {
  const framing = body instanceof Promise ? chunked : body === '' ? {} : { 'content-length': body.length };
  const framed = { host: 'edge', ...framing, ...headers };
  const lines = Object.entries(framed).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = readHead(`${method} ${target} HTTP/1.1\r\n${lines.join('')}`);
  const incoming = {
    whole: () => body,
    stream: () => new Blob(body instanceof Promise ? [] : [body]).stream(),
  };
  return new ServerRequest(head, incoming, { isUnderWay: () => true, peerAddress: () => '127.0.0.1' });
}

/** What was answered, in the words of `fetch`. */
export async function answered(answer: Answer | Promise<Answer>): Promise<Response> {
  const reply = await answer;
  if ('start' in reply) throw new Error('answered with another protocol');
  return responseOf(reply);
}

/** A reply as clients see it. */
export const responseOf = ({ status, lines, body }: Reply): Response =>
  new Response(typeof body === 'string' ? Buffer.from(body, 'latin1') : body, {
    status,
    headers: fieldPairs(lines),
  });
