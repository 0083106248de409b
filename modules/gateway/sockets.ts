import type { Clock } from '@platform/clock.ts';
import type { Behind } from '@platform/http/entry.ts';
import { ExchangeFailure } from '@platform/http1/exchange.ts';
import type { Reply } from '@platform/http1/reply.ts';
import type { Answer } from '@platform/http1/server.ts';
import type { ServerRequest } from '@platform/http1/server-request.ts';
import { openTunnel, type TunnelOptions } from '@platform/http1/tunnel.ts';
import { fault } from '@platform/upstream/errors.ts';
import { outcomeOf } from '@platform/upstream/send.ts';
import type { Upstream } from '@platform/upstream/upstream.ts';
import { linesFor } from './proxy.ts';

export interface SocketProxyOptions {
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
export function createSocketProxy(
  { path, upstream, timeoutMs, clock }: SocketProxyOptions,
  next: Behind<ServerRequest, Reply>,
): Behind<ServerRequest, Answer> {
  return (request, entry) => {
    if (request.path !== path || !request.isHandshake) return next(request, entry);
    const key = request.header('sec-websocket-key') ?? '';
    return openWith({ target: request.target, lines: linesFor(request, entry), key, dueMs: entry.dueMs });
  };

  async function openWith(
    handshake: Pick<TunnelOptions, 'target' | 'lines' | 'key' | 'dueMs'>,
  ): Promise<Answer> {
    const lease = upstream.acquire();
    const startedMs = clock.nowMs();
    try {
      const answer = await openTunnel({ ...handshake, url: lease.instance.url, clock });
      lease.release('answered');
      return answer;
    } catch (error) {
      const failure =
        error instanceof ExchangeFailure ? error : new ExchangeFailure('malformed', true, error);
      lease.release(outcomeOf(failure, { body: undefined }, clock.nowMs() - startedMs >= timeoutMs));
      throw fault('upstream.unavailable', { cause: failure });
    }
  }
}
