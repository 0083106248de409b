import { toBinaryString } from '../http1/binary.ts';
import { hopByHopFields, parseFieldLines } from '../http1/fields.ts';
import type { Reply } from '../http1/reply.ts';
import type { ServerRequest } from '../http1/server-request.ts';

/** Made anew where the answer is sent. */
const remade = new Set([...hopByHopFields, 'content-length', 'date']);

/** Asks an app for what our own server was asked; for the few routes that a gateway answers itself, without bodies. */
export async function forwardToApp(
  app: (request: Request) => Response | Promise<Response>,
  { method, target, lines }: ServerRequest,
): Promise<Reply> {
  const asked = { method: method === 'HEAD' ? 'GET' : method, headers: parseFieldLines(lines) };
  const response = await app(new Request(`http://gateway${target}`, asked));
  let told = '';
  response.headers.forEach((value, name) => {
    if (!remade.has(name)) told += `${name}: ${value}\r\n`;
  });
  return {
    status: response.status,
    lines: told,
    body: toBinaryString(Buffer.from(await response.arrayBuffer())),
  };
}
