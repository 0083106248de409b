import type { Clock } from '@platform/clock.ts';
import { problemReply, toFault } from '@platform/http/problem.ts';
import { ExchangeFailure } from '@platform/http1/exchange.ts';
import type { Answer, Handle } from '@platform/http1/server.ts';
import type { ServerRequest } from '@platform/http1/server-request.ts';
import { openTunnel } from '@platform/http1/tunnel.ts';
import type { Ids } from '@platform/ids.ts';
import { clientAddress } from './edge.ts';
import { fault } from './errors.ts';
import { dueMsOf, linesFor } from './proxy.ts';
import type { GatewaySettings } from './settings.ts';
import type { Upstream } from './upstream/upstream.ts';

export interface SocketProxyOptions {
  path: string;
  upstream: Pick<Upstream, 'acquire'>;
  settings: GatewaySettings;
  clock: Clock;
  ids: Ids;
}

/**
 * Passes the WebSockets of a path through to an instance of its context; all else is `next`'s. Who connects
 * has a ticket, which was asked for with a token and within a limit: the instance looks at it, not we.
 */
export function createSocketProxy(options: SocketProxyOptions, next: Handle): Handle {
  const { path, upstream, settings, clock, ids } = options;
  return (request) => (request.path === path && wantsSocket(request) ? open(request) : next(request));

  async function open(request: ServerRequest): Promise<Answer> {
    const requestId = ids<string>();
    try {
      const address = () => clientAddress(request, settings.TRUSTED_PROXY_HOPS);
      const dueMs = dueMsOf(request, clock.nowMs(), settings.UPSTREAM_TIMEOUT_MS);
      return await tunnel(request.target, linesFor(request, { requestId, address }, dueMs, settings), dueMs);
    } catch (error) {
      return problemReply(toFault(error), requestId);
    }
  }

  async function tunnel(target: string, lines: string, dueMs: number): Promise<Answer> {
    const lease = upstream.acquire();
    try {
      const answer = await openTunnel({ url: lease.instance.url, target, lines, clock, dueMs });
      lease.release('answered');
      return answer;
    } catch (error) {
      const failure =
        error instanceof ExchangeFailure ? error : new ExchangeFailure('malformed', true, error);
      lease.release(failure.reason === 'not_connected' ? 'refused' : 'failed');
      throw fault('upstream.unavailable', { cause: failure });
    }
  }
}

const wantsSocket = (request: ServerRequest): boolean =>
  request.method === 'GET' && request.header('upgrade')?.toLowerCase() === 'websocket';
