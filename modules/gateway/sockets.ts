import type { Clock } from '@platform/clock.ts';
import { problemReply, toFault } from '@platform/http/problem.ts';
import { ExchangeFailure } from '@platform/http1/exchange.ts';
import type { Answer, Handle } from '@platform/http1/server.ts';
import type { ServerRequest } from '@platform/http1/server-request.ts';
import { openTunnel, type TunnelOptions } from '@platform/http1/tunnel.ts';
import { isWebSocketHandshake } from '@platform/http1/websocket-handshake.ts';
import type { Ids } from '@platform/ids.ts';
import { fault } from '@platform/upstream/errors.ts';
import type { Upstream } from '@platform/upstream/upstream.ts';
import { clientAddress } from './edge.ts';
import { linesFor } from './proxy.ts';
import type { GatewaySettings } from './settings.ts';

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
  return (request) => (request.path === path && wantsWebSocket(request) ? open(request) : next(request));

  async function open(request: ServerRequest): Promise<Answer> {
    const requestId = ids<string>();
    try {
      const address = () => clientAddress(request, settings.TRUSTED_PROXY_HOPS);
      // What a client calls its deadline is that of a request: a connection lives on.
      const dueMs = clock.nowMs() + settings.UPSTREAM_TIMEOUT_MS;
      const lines = linesFor(request, { requestId, address }, dueMs, settings);
      const key = request.header('sec-websocket-key') ?? '';
      return await tunnel({ target: request.target, lines, key, dueMs });
    } catch (error) {
      return problemReply(toFault(error), requestId);
    }
  }

  async function tunnel(asked: Pick<TunnelOptions, 'target' | 'lines' | 'key' | 'dueMs'>): Promise<Answer> {
    const lease = upstream.acquire();
    try {
      const answer = await openTunnel({ ...asked, url: lease.instance.url, clock });
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

/** Nearly no request says Upgrade: only those that do are looked at more closely. */
const wantsWebSocket = (request: ServerRequest): boolean =>
  request.header('upgrade') !== undefined &&
  isWebSocketHandshake({
    method: request.method,
    isHttp11: request.isHttp11,
    bodyBytes: request.bodyBytes,
    header: (name) => request.header(name),
  });
