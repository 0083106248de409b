import { type Problem, problem } from '../problems.ts';
import type { Reply } from './reply.ts';
import type { RequestHead } from './request-head.ts';
import type { Http1Handler } from './server.ts';
import type { ServerRequest } from './server-request.ts';

/** What all connections of a server share. */
export interface ServerConnectionOwner {
  handle: Http1Handler;
  toErrorReply(error: unknown, request: ServerRequest | undefined): Reply;
  parseHead(text: string): RequestHead;
  headBytesMax: number;
  bodyBytesMax: number;
  requestTimeoutMs: number;
  /** As of the last look, a tenth of a second ago at the most. */
  nowMs(): number;
  /** The date line of an answer. */
  dateLine(): string;
  isStopping(): boolean;
}

export const noAnswerProblem = (): Problem =>
  problem('service.unavailable', { detail: 'no answer in time', retryAfterSeconds: 1 });

export const connectionLimits = {
  // Above a load balancer's 60 s, so that it is never us who close a connection that it is about to use.
  idleMsMax: 75_000,
  // A head comes in one or two packets; who takes longer holds a connection and nothing else.
  headMsMax: 10_000,
  // An answer that the client does not read on.
  stallMs: 30_000,
  lingerMs: 2_000,
  // A client that ended its side may read on, or be gone: bytes to one that is gone come back as a reset.
  probePeerAfterMs: 1_000,
  // Whoever waits for a body that did not come in time says so; then we do.
  graceMs: 500,
} as const;
