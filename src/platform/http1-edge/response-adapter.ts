import type { HeaderLine, ResponseAdapter } from '../http/edge-request.ts';
import type { Http1Answer } from '../http1/http1-answer.ts';
import { problemReply } from './problem-reply.ts';

/** Builds the edge's responses for the HTTP/1.1 server. A response that switches protocols gets no headers. */
export const http1ResponseAdapter: ResponseAdapter<Http1Answer> = {
  problem: problemReply,
  noContent: (lines) => ({ status: 204, lines: formatLines(lines), body: undefined }),
  addHeaders(response, lines) {
    if (!('start' in response)) response.lines += formatLines(lines);
  },
  addRateLimit(response, policy, limit) {
    if (!('start' in response)) response.lines += `ratelimit-policy: ${policy}\r\nratelimit: ${limit}\r\n`;
  },
};

const formatLines = (lines: readonly HeaderLine[]): string =>
  lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
