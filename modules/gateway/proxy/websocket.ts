import type { Clock } from '@platform/clock.ts';
import { ExchangeFailure } from '@platform/http1/exchange.ts';
import type { Http1Answer } from '@platform/http1/http1-answer.ts';
import type { Reply } from '@platform/http1/reply.ts';
import type { ServerRequest } from '@platform/http1/server-request.ts';
import { openTunnel, type TunnelOptions } from '@platform/http1/tunnel.ts';
import { upstreamProblem } from '@platform/upstream/errors.ts';
import { upstreamOutcomeOf } from '@platform/upstream/send.ts';
import type { Upstream } from '@platform/upstream/upstream.ts';
import type { EdgeNext } from '../edge/request-info.ts';
import { forwardedHeaderLines } from './http.ts';

export interface WebSocketProxyDeps {
  path: string;
  upstream: Pick<Upstream, 'acquire'>;
  /** An instance that did not answer a handshake for so long has failed. */
  timeoutMs: number;
  clock: Clock;
}

/**
 * Forwards the WebSockets of a path to an instance of its context; all else is `next`'s. Who connects has a
 * ticket, which was asked for with a token and within a limit: the instance looks at it, not we. The handshake
 * itself has come through the edge as every request has, its limit by address included.
 */
export function createWebSocketProxy(
  { path, upstream, timeoutMs, clock }: WebSocketProxyDeps,
  next: EdgeNext<ServerRequest, Reply>,
): EdgeNext<ServerRequest, Http1Answer> {
  return (request, entry) => {
    if (request.path !== path || !request.isHandshake) return next(request, entry);
    const key = request.header('sec-websocket-key') ?? '';
    return openWith({
      target: request.target,
      lines: forwardedHeaderLines(request, entry),
      key,
      dueMs: entry.dueMs,
    });
  };

  async function openWith(
    handshake: Pick<TunnelOptions, 'target' | 'lines' | 'key' | 'dueMs'>,
  ): Promise<Http1Answer> {
    const lease = upstream.acquire();
    const startedMs = clock.nowMs();
    try {
      const answer = await openTunnel({ ...handshake, url: lease.instance.url, clock });
      lease.release('answered');
      return answer;
    } catch (error) {
      const failure =
        error instanceof ExchangeFailure ? error : new ExchangeFailure('malformed', true, error);
      lease.release(upstreamOutcomeOf(failure, { body: undefined }, clock.nowMs() - startedMs >= timeoutMs));
      throw upstreamProblem('upstream.unavailable', { cause: failure });
    }
  }
}
