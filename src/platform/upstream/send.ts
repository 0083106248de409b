import type { Clock } from '../clock.ts';
import { ExchangeFailure } from '../http1/exchange.ts';
import type { OutgoingRequest } from '../http1/outgoing-request.ts';
import type { Reply } from '../http1/reply.ts';
import type { Log } from '../log.ts';
import { upstreamProblem } from './errors.ts';
import type { Instance } from './instance.ts';
import type { UpstreamOutcome } from './outlier-detector.ts';
import type { Upstream } from './upstream.ts';

/** Sends a request to an instance. `isRepeatable`: sending it twice has no further effect. */
export type UpstreamSend = (
  upstream: Upstream,
  request: OutgoingRequest,
  isRepeatable: boolean,
) => Promise<Reply>;

export interface UpstreamSendOptions {
  clock: Clock;
  log: Log;
  /** How many instances one request is sent to at most. */
  attemptsMax: number;
  /** An instance without an answer for this long has failed. A shorter deadline of the caller proves nothing. */
  timeoutMs: number;
}

/**
 * Sends a request, and retries it on another instance when it certainly was not sent, or when it is repeatable. Throws
 * `upstream.unavailable` when it was not delivered, `upstream.lost` and `upstream.timeout` when it may have been.
 */
export function createUpstreamSend({
  clock,
  log,
  attemptsMax,
  timeoutMs,
}: UpstreamSendOptions): UpstreamSend {
  return (upstream, request, isRepeatable) => attempt(upstream, request, isRepeatable, 1, undefined);

  function attempt(
    upstream: Upstream,
    request: OutgoingRequest,
    isRepeatable: boolean,
    number: number,
    exclude: Instance | undefined,
  ): Promise<Reply> {
    const { instance, release } = upstream.acquire(exclude === undefined ? undefined : { exclude });
    const startedMs = clock.nowMs();
    // No `await`: nearly all requests succeed, and wait for this one promise only.
    return instance.client.send(request).then(
      (reply) => {
        release('answered');
        return reply;
      },
      (error: unknown) => {
        const failure =
          error instanceof ExchangeFailure ? error : new ExchangeFailure('malformed', true, error);
        release(upstreamOutcomeOf(failure, request, clock.nowMs() - startedMs >= timeoutMs));
        if (failure.reason !== 'cancelled')
          log.warn(
            {
              upstream: upstream.name,
              instance: instance.url,
              path: pathOf(request.target),
              attempt: number,
              err: failure,
            },
            'upstream request failed',
          );
        if (number === attemptsMax || !mayRetry(failure, request, isRepeatable) || !upstream.consumeRetry())
          throw toProblem(failure);
        return attempt(upstream, request, isRepeatable, number + 1, instance);
      },
    );
  }
}

/** Without the query, which may contain secrets. */
const pathOf = (target: string): string => target.split('?', 1).join();

function mayRetry(
  { reason, wasSent }: ExchangeFailure,
  { body }: OutgoingRequest,
  isRepeatable: boolean,
): boolean {
  if (reason === 'cancelled' || reason === 'timed_out') return false;
  if (!wasSent) return reason === 'not_connected' || reason === 'lost';
  return isRepeatable && !(body instanceof ReadableStream);
}

/**
 * What a failure proves about the instance. A streamed body arrives at its sender's pace, so that its instance could
 * not have answered sooner.
 */
export function upstreamOutcomeOf(
  { reason }: ExchangeFailure,
  { body }: Pick<OutgoingRequest, 'body'>,
  hadFullTimeout: boolean,
): UpstreamOutcome {
  switch (reason) {
    case 'cancelled':
      return 'unknown';
    case 'not_connected':
      return 'refused';
    case 'timed_out':
      return hadFullTimeout && !(body instanceof ReadableStream) ? 'failed' : 'unknown';
    case 'lost':
    case 'malformed':
      return 'failed';
  }
}

function toProblem(failure: ExchangeFailure) {
  const cause = { cause: failure };
  if (failure.reason === 'timed_out') return upstreamProblem('upstream.timeout', cause);
  return upstreamProblem(failure.wasSent ? 'upstream.lost' : 'upstream.unavailable', cause);
}
