import { headers } from '@contracts/common.ts';
import type { Clock } from '@platform/clock.ts';
import { problemResponse, toFault } from '@platform/http/problem.ts';
import type { SocketHandlers, SocketRoute } from '@platform/http/server.ts';
import type { Ids } from '@platform/ids.ts';
import { clientAddress } from './edge.ts';
import { fault } from './errors.ts';
import type { GatewaySettings } from './settings.ts';
import type { Upstream } from './upstream/upstream.ts';

export interface SocketProxyOptions {
  path: string;
  upstream: Upstream;
  settings: GatewaySettings;
  clock: Clock;
  ids: Ids;
}

// What may wait for a slow upstream before the connection is given up.
const upstreamBufferBytesMax = 256 * 1024;
const tryAgainLater = 1013;

/** Passes a WebSocket through to an instance of its context: the upstream accepts first, then we do. */
export function createSocketProxy({ path, upstream, settings, clock, ids }: SocketProxyOptions): SocketRoute {
  return {
    path,
    async accept(request, peers) {
      const requestId = ids<string>();
      const { search } = new URL(request.url);
      const lease = upstream.acquire();
      const origin = request.headers.get('origin');
      const remote = new WebSocket(`${lease.instance.url.replace('http', 'ws')}${path}${search}`, {
        headers: {
          [headers.requestId]: requestId,
          'x-forwarded-for': clientAddress(request, peers, settings.TRUSTED_PROXY_HOPS),
          'x-forwarded-host': request.headers.get('host') ?? '',
          ...(origin === null ? {} : { origin }),
        },
      });
      remote.binaryType = 'arraybuffer';
      try {
        const early = await opened(remote, clock, settings.UPSTREAM_TIMEOUT_MS);
        lease.release('answered');
        return bridge(remote, early);
      } catch (error) {
        lease.release(error === refused ? 'answered' : 'failed');
        remote.close();
        return problemResponse(
          error === refused
            ? fault('realtime.refused')
            : toFault(fault('upstream.unavailable', { cause: error })),
          requestId,
        );
      }
    },
  };
}

type Message = string | ArrayBuffer;
const refused = new Error('the upstream answered the handshake, but not with 101');

/** Resolves once the upstream has accepted, to the list that its first messages gather in meanwhile. */
function opened(remote: WebSocket, clock: Clock, timeoutMs: number): Promise<Message[]> {
  const early: Message[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<Message[]>();
  const settled = new AbortController();
  clock.sleep(timeoutMs, settled.signal).then(() => reject(new Error('the upstream did not accept in time')));
  remote.onmessage = ({ data }) => early.push(data);
  remote.onopen = () => resolve(early);
  remote.onerror = (event) => {
    const message = 'message' in event ? String(event.message) : '';
    reject(message.includes('101') ? refused : new Error(message));
  };
  remote.onclose = ({ code }) => reject(new Error(`closed with ${code} before it opened`));
  return promise.finally(() => settled.abort());
}

function bridge(remote: WebSocket, early: readonly Message[]): SocketHandlers {
  return {
    open(socket) {
      for (const message of early) socket.send(message);
      remote.onmessage = ({ data }) => {
        // 0: dropped, the reader is too slow. It comes back and resumes by seq.
        if (socket.send(data) === 0) socket.close(tryAgainLater, 'too slow');
      };
      remote.onclose = ({ code, reason }) => socket.close(sendable(code), reason);
      remote.onerror = () => socket.close(tryAgainLater, 'upstream lost');
      if (remote.readyState === WebSocket.CLOSED) socket.close(tryAgainLater, 'upstream lost');
    },
    message(socket, data) {
      if (remote.bufferedAmount > upstreamBufferBytesMax)
        return socket.close(tryAgainLater, 'upstream too slow');
      remote.send(data);
    },
    close: (_, code, reason) => remote.close(sendable(code), reason),
  };
}

/** Codes that only an end point may note for itself (1005, 1006, 1015) can't be sent on. */
const sendable = (code: number): number =>
  code === 1005 || code === 1006 || code === 1015 || code < 1000 ? 1001 : code;
