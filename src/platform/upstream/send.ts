import type { Clock } from '../clock.ts';
import { ExchangeFailure } from '../http1/exchange.ts';
import type { OutgoingRequest } from '../http1/outgoing-request.ts';
import type { Reply } from '../http1/reply.ts';
import type { Log } from '../log.ts';
import { upstreamProblem } from './errors.ts';
import type { Instance, Upstream, UpstreamOutcome } from './upstream.ts';

/** Sends a request to an instance; `isRepeatable`: it may be done twice. */
export type UpstreamSend = (
  upstream: Upstream,
  request: OutgoingRequest,
  isRepeatable: boolean,
) => Promise<Reply>;

export interface UpstreamSendOptions {
  clock: Clock;
  log: Log;
  /** Instances that one request is sent to at most. */
  attemptsMax: number;
  /** An instance that did not answer for so long has failed. A shorter deadline is the caller's and proves nothing. */
  timeoutMs: number;
}

/**
 * What was not sent for sure goes to another instance; what was sent only when it may be done twice. Throws
 * `upstream.unavailable` when it was not delivered, `upstream.lost` and `upstream.timeout` when it may have
 * been.
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
    const { instance, release } = upstream.acquire(exclude);
    const startedMs = clock.nowMs();
    // No `await`: what goes well, nearly all, waits for one promise and no other.
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
            'upstream failed',
          );
        if (number === attemptsMax || !mayRepeat(failure, request, isRepeatable) || !upstream.consumeRetry())
          throw faultOf(failure);
        return attempt(upstream, request, isRepeatable, number + 1, instance);
      },
    );
  }
}

/** Queries may hold what no log may hold. */
const pathOf = (target: string): string => target.split('?', 1).join();

function mayRepeat(
  { reason, wasSent }: ExchangeFailure,
  { body }: OutgoingRequest,
  isRepeatable: boolean,
): boolean {
  if (reason === 'cancelled' || reason === 'timed_out') return false;
  if (!wasSent) return reason === 'not_connected' || reason === 'lost';
  return isRepeatable && !(body instanceof ReadableStream);
}

/** What a failure says of the instance. A streamed body comes at its sender's pace, so that its instance could not have answered sooner. */
export function upstreamOutcomeOf(
  { reason }: ExchangeFailure,
  { body }: Pick<OutgoingRequest, 'body'>,
  hadWholeTime: boolean,
): UpstreamOutcome {
  switch (reason) {
    case 'cancelled':
      return 'unknown';
    case 'not_connected':
      return 'refused';
    case 'timed_out':
      return hadWholeTime && !(body instanceof ReadableStream) ? 'failed' : 'unknown';
    case 'lost':
    case 'malformed':
      return 'failed';
  }
}

function faultOf(failure: ExchangeFailure) {
  const cause = { cause: failure };
  if (failure.reason === 'timed_out') return upstreamProblem('upstream.timeout', cause);
  return upstreamProblem(failure.wasSent ? 'upstream.lost' : 'upstream.unavailable', cause);
}
