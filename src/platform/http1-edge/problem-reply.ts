import { serializeProblem } from '../http/problem.ts';
import { encodeUtf8 } from '../http1/binary.ts';
import type { Reply } from '../http1/reply.ts';
import type { Problem } from '../problems.ts';

/** The problem as a reply of the HTTP/1.1 server. */
export function problemReply(error: Problem, requestId: string | undefined): Reply {
  const { status, extraHeaders, body } = serializeProblem(error, requestId);
  let lines = 'content-type: application/problem+json\r\ncache-control: no-store\r\n';
  for (const [name, value] of extraHeaders) lines += `${name}: ${value}\r\n`;
  return { status, lines, body: encodeUtf8(body) };
}
