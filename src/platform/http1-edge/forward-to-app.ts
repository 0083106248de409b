import { hopByHopFields } from '../http-message/connection-fields.ts';
import { toBinaryString } from '../http1/binary.ts';
import { parseFieldLines } from '../http1/fields.ts';
import type { Reply } from '../http1/reply.ts';
import type { ServerRequest } from '../http1/server-request.ts';

/** The HTTP/1.1 server writes these headers itself. */
const serverWrittenFields = new Set([...hopByHopFields, 'content-length', 'date']);

/**
 * Forwards a request of the HTTP/1.1 server to an Elysia app. It serves the few routes of the gateway itself;
 * request bodies are not forwarded.
 */
export async function forwardToApp(
  app: (request: Request) => Response | Promise<Response>,
  { method, target, lines }: ServerRequest,
): Promise<Reply> {
  const init = { method: method === 'HEAD' ? 'GET' : method, headers: parseFieldLines(lines) };
  const response = await app(new Request(`http://gateway${target}`, init));
  let responseLines = '';
  response.headers.forEach((value, name) => {
    if (!serverWrittenFields.has(name)) responseLines += `${name}: ${value}\r\n`;
  });
  return {
    status: response.status,
    lines: responseLines,
    body: toBinaryString(Buffer.from(await response.arrayBuffer())),
  };
}
