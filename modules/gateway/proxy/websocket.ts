import type { Clock } from '@platform/clock.ts';
import { ExchangeFailure } from '@platform/http1/exchange.ts';
import type { Http1Answer } from '@platform/http1/http1-answer.ts';
import type { Reply } from '@platform/http1/reply.ts';
import type { ServerRequest } from '@platform/http1/server-request.ts';
import { openTunnel, type TunnelOptions } from '@platform/http1/tunnel.ts';
import { upstreamProblem } from '@platform/upstream/errors.ts';
import { upstreamOutcomeOf } from '@platform/upstream/send.ts';
import type { Upstream } from '@platform/upstream/upstream.ts';
import type { EdgeNext } from '../ports.ts';
import { forwardedHeaderLines } from './http.ts';

export interface WebSocketProxyDeps {
  path: string;
  upstream: Pick<Upstream, 'acquire'>;
  /** An instance that does not answer a handshake for this long counts as failed. */
  timeoutMs: number;
  clock: Clock;
}

/**
 * Forwards the WebSockets of a path to an instance of its context, and all other requests to `next`. A client that
 * connects has a ticket, which it got with a token and within a rate limit. The instance checks the ticket.
 * The handshake passed the edge like every request, including the limit for its address.
 */
export function createWebSocketProxy(
  { path, upstream, timeoutMs, clock }: WebSocketProxyDeps,
  next: EdgeNext<ServerRequest, Reply>,
): EdgeNext<ServerRequest, Http1Answer> {
  return (request, info) => {
    if (request.path !== path || !request.isHandshake) return next(request, info);
    const key = request.header('sec-websocket-key') ?? '';
    return openToInstance({
      target: request.target,
      lines: forwardedHeaderLines(request, info),
      key,
      dueMs: info.dueMs,
    });
  };

  async function openToInstance(
    handshake: Pick<TunnelOptions, 'target' | 'lines' | 'key' | 'dueMs'>,
  ): Promise<Http1Answer> {
    const lease = upstream.acquire();
    const startedAtMs = clock.nowMs();
    try {
      const tunnel = await openTunnel({ ...handshake, url: lease.instance.url, clock });
      lease.release('answered');
      return tunnel;
    } catch (error) {
      const failure =
        error instanceof ExchangeFailure ? error : new ExchangeFailure('malformed', true, error);
      lease.release(
        upstreamOutcomeOf(failure, { body: undefined }, clock.nowMs() - startedAtMs >= timeoutMs),
      );
      throw upstreamProblem('upstream.unavailable', { cause: failure });
    }
  }
}
