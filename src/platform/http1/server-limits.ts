import { type Problem, problem } from '../problems.ts';
import type { Http1Handler } from './http1-answer.ts';
import type { Reply } from './reply.ts';
import type { RequestHead } from './request-head.ts';
import type { ServerRequest } from './server-request.ts';

/** What all connections of a server share. */
export interface ServerConnectionOwner {
  handle: Http1Handler;
  toErrorReply(error: unknown, request: ServerRequest | undefined): Reply;
  parseHead(text: string): RequestHead;
  headBytesMax: number;
  bodyBytesMax: number;
  requestTimeoutMs: number;
  /** Updated by each sweep, so at most 100 ms old. */
  nowMs(): number;
  /** The Date line of an answer. */
  dateLine(): string;
  isStopping(): boolean;
}

export const noAnswerProblem = (): Problem =>
  problem('service.unavailable', { detail: 'no answer in time', retryAfterSeconds: 1 });

export const connectionLimits = {
  // Longer than a load balancer's 60 s, so that we never close a connection that it is about to use.
  idleMsMax: 75_000,
  // A head arrives in one or two packets. A slower client occupies a connection and nothing else.
  headMsMax: 10_000,
  // An answer that the client does not read any further.
  stallMs: 30_000,
  lingerMs: 2_000,
  // A client that ended its side may still read, or be gone: bytes sent to a client that is gone cause a reset.
  probePeerAfterMs: 1_000,
  // A handler that waits for a late body answers for itself; after this time the connection does.
  graceMs: 500,
} as const;
