import { headers } from '@contracts/common.ts';
import type { Clock } from '@platform/clock.ts';
import { fault as platformFault } from '@platform/faults.ts';
import type { Fetch } from '@platform/http/server.ts';
import { ExchangeFailure } from '@platform/http1/exchange.ts';
import { createFieldLines, type OutgoingRequest } from '@platform/http1/request-head.ts';
import type { Log } from '@platform/log.ts';
import { fault } from './errors.ts';
import { type ContextName, isRepeatable, ownerOf } from './routes.ts';
import type { GatewaySettings } from './settings.ts';
import type { Instance, Outcome, Upstream } from './upstream/upstream.ts';

export type Upstreams = Readonly<Record<ContextName, Upstream>>;

export interface ProxyOptions {
  upstreams: Upstreams;
  settings: GatewaySettings;
  /** Larger bodies are refused here, whether their length was told or not. */
  bodyBytesMax: number;
  clock: Clock;
  log: Log;
}

// The first instance and two others: more would only spread an outage.
const attemptsMax = 3;
// A body up to this, or of a length that was not told, is taken in before an instance is asked: a slow sender
// occupies nobody but us, and the request can be repeated. Larger ones are streamed.
const gatheredBytesMax = 64 * 1024;

/** What outsiders may not say of the way that a request came, nor of who they are. */
const fieldLines = createFieldLines([
  headers.serviceToken,
  headers.deadline,
  'forwarded',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-port',
  'x-real-ip',
]);
const hostPattern = /^[\w.\-:[\]]{1,255}$/;

/**
 * Hands a request to an instance of the context that owns its path. What was not sent for sure goes to
 * another instance; what was sent only when it may be done twice (`isRepeatable`). Throws
 * `upstream.unavailable` when it was not delivered, `upstream.lost` and `upstream.timeout` when it may have
 * been: the caller repeats a write only with its Idempotency-Key.
 */
export function createProxy({ upstreams, settings, bodyBytesMax, clock, log }: ProxyOptions): Fetch {
  return async (request) => {
    const { pathname, search } = new URL(request.url);
    const owner = ownerOf(pathname);
    if (owner === undefined) throw platformFault('request.not_found');
    const body = bodyOf(request, bodyBytesMax);
    const outgoing = prepare(request, `${pathname}${search}`, body instanceof Promise ? await body : body);
    return send(upstreams[owner], outgoing, isRepeatable(request, pathname), pathname);
  };

  async function send(
    upstream: Upstream,
    outgoing: OutgoingRequest,
    repeatable: boolean,
    path: string,
  ): Promise<Response> {
    let last: Instance | undefined;
    for (let attempt = 1; ; attempt++) {
      const lease = upstream.acquire(last);
      try {
        const response = await lease.instance.client.send(outgoing);
        lease.release('answered');
        return response;
      } catch (error) {
        const failure =
          error instanceof ExchangeFailure ? error : new ExchangeFailure('malformed', true, error);
        lease.release(outcomeOf(failure));
        const instance = lease.instance.url;
        if (failure.reason !== 'cancelled')
          log.warn({ upstream: upstream.name, instance, path, attempt, err: failure }, 'upstream failed');
        if (attempt === attemptsMax || !mayRepeat(failure, outgoing, repeatable) || !upstream.mayRepeat())
          throw faultOf(failure);
        last = lease.instance;
      }
    }
  }

  function prepare(request: Request, target: string, body: OutgoingRequest['body']): OutgoingRequest {
    const nowMs = clock.nowMs();
    const { fields, asked } = headFields(request);
    const dueMs = Math.min(nowMs + settings.UPSTREAM_TIMEOUT_MS, asked);
    if (dueMs <= nowMs) throw platformFault('request.deadline_passed');
    return {
      method: request.method,
      target,
      fields: `${fields}${headers.deadline}: ${dueMs}\r\n`,
      body,
      signal: request.signal,
      dueMs,
    };
  }

  function headFields({ headers: received }: Request): { fields: string; asked: number } {
    let fields: string;
    try {
      fields = fieldLines(received);
    } catch (cause) {
      throw platformFault('request.invalid', { detail: 'a header cannot be passed on', cause });
    }
    const host = told(received, 'host');
    if (host !== undefined) fields += `x-forwarded-host: ${host}\r\n`;
    fields += `x-forwarded-proto: ${told(received, 'proto') ?? 'http'}\r\n`;
    const deadline = received.get(headers.deadline);
    return { fields, asked: deadline === null ? Number.POSITIVE_INFINITY : Number(deadline) || 0 };
  }

  /** What the client asked for; a proxy of ours in front may know better. */
  function told(received: Headers, what: 'host' | 'proto'): string | undefined {
    const inFront = settings.TRUSTED_PROXY_HOPS > 0 ? received.get(`x-forwarded-${what}`) : null;
    const value = inFront ?? (what === 'host' ? received.get('host') : null);
    return value !== null && hostPattern.test(value) ? value : undefined;
  }
}

function bodyOf(
  request: Request,
  bytesMax: number,
): OutgoingRequest['body'] | Promise<OutgoingRequest['body']> {
  if (request.method === 'GET' || request.method === 'HEAD') return undefined;
  const length = request.headers.get('content-length');
  if (length === '0' || (length === null && !request.headers.has('transfer-encoding'))) return undefined;
  if (length === null) return gather(request, bytesMax);
  if (Number(length) > bytesMax) throw platformFault('request.too_large');
  return Number(length) <= gatheredBytesMax ? request.bytes() : (request.body ?? undefined);
}

async function gather({ body }: Request, bytesMax: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body ?? []) {
    bytes += part.length;
    if (bytes > bytesMax) throw platformFault('request.too_large');
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function mayRepeat(
  { reason, sent }: ExchangeFailure,
  { body }: OutgoingRequest,
  repeatable: boolean,
): boolean {
  if (reason === 'cancelled' || reason === 'timed_out') return false;
  if (!sent) return reason === 'not_connected' || reason === 'lost';
  return repeatable && !(body instanceof ReadableStream);
}

function outcomeOf({ reason }: ExchangeFailure): Outcome {
  switch (reason) {
    case 'cancelled':
      return 'unknown';
    case 'not_connected':
      return 'refused';
    case 'lost':
    case 'malformed':
    case 'timed_out':
      return 'failed';
  }
}

function faultOf(failure: ExchangeFailure) {
  const cause = { cause: failure };
  if (failure.reason === 'timed_out') return fault('upstream.timeout', cause);
  return fault(failure.sent ? 'upstream.lost' : 'upstream.unavailable', cause);
}
