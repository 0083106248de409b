import { headers } from '@contracts/common.ts';
import type { Clock } from '@platform/clock.ts';
import { fault as platformFault } from '@platform/faults.ts';
import type { Fetch } from '@platform/http/server.ts';
import type { Log } from '@platform/log.ts';
import { fault } from './errors.ts';
import { type ContextName, ownerOf } from './routes.ts';
import type { GatewaySettings } from './settings.ts';
import type { Lease, Upstream } from './upstream.ts';

export type Upstreams = Readonly<Record<ContextName, Upstream>>;

export interface ProxyOptions {
  upstreams: Upstreams;
  settings: GatewaySettings;
  clock: Clock;
  log: Log;
}

/** Headers of one connection, not of the message (RFC 9110 §7.6.1): they end at each hop. */
const hopByHop = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'proxy-connection',
];

// A GET that could not be delivered may be sent once more, to another instance.
const attemptsMax = 2;

/**
 * Hands a request to an instance of the context that owns its path. Throws `upstream.unavailable`
 * when it could not be delivered and `upstream.timeout` when it may have been: the caller repeats a
 * write only with its Idempotency-Key.
 */
export function createProxy({ upstreams, settings, clock, log }: ProxyOptions): Fetch {
  return async (request) => {
    const { pathname, search } = new URL(request.url);
    const owner = ownerOf(pathname);
    if (owner === undefined) throw platformFault('request.not_found');
    const body = request.body === null ? null : await request.arrayBuffer();
    const repeatable = request.method === 'GET' || request.method === 'HEAD';

    for (let attempt = 1; ; attempt++) {
      const lease = upstreams[owner].acquire();
      try {
        return await forward(lease, request, `${pathname}${search}`, body);
      } catch (error) {
        log.warn(
          { upstream: owner, instance: lease.instance.url, path: pathname, err: error },
          'upstream failed',
        );
        if (repeatable && attempt < attemptsMax && !isTimeout(error)) continue;
        throw fault(isTimeout(error) ? 'upstream.timeout' : 'upstream.unavailable', { cause: error });
      }
    }
  };

  async function forward(
    lease: Lease,
    request: Request,
    target: string,
    body: ArrayBuffer | null,
  ): Promise<Response> {
    const timeoutMs = settings.UPSTREAM_TIMEOUT_MS;
    const sent = new Headers(request.headers);
    for (const name of hopByHop) sent.delete(name);
    sent.delete('host');
    sent.set(headers.deadline, String(clock.nowMs() + timeoutMs));
    try {
      const response = await fetch(`${lease.instance.url}${target}`, {
        method: request.method,
        headers: sent,
        body,
        redirect: 'manual',
        decompress: false,
        signal: AbortSignal.timeout(timeoutMs),
      });
      lease.release('answered');
      return copy(response);
    } catch (error) {
      lease.release('failed');
      throw error;
    }
  }
}

/** The same answer with headers of our own, since those of a fetched response belong to its connection. */
function copy(response: Response): Response {
  const received = new Headers(response.headers);
  for (const name of hopByHop) received.delete(name);
  const empty = response.status === 204 || response.status === 304;
  return new Response(empty ? null : response.body, { status: response.status, headers: received });
}

const isTimeout = (error: unknown) => error instanceof Error && error.name === 'TimeoutError';
