import { headers } from '@contracts/common.ts';
import type { Clock } from '@platform/clock.ts';
import { fault as platformFault } from '@platform/faults.ts';
import type { Behind, Entry } from '@platform/http/entry.ts';
import { ExchangeFailure } from '@platform/http1/exchange.ts';
import type { OutgoingRequest } from '@platform/http1/outgoing-request.ts';
import type { Reply } from '@platform/http1/reply.ts';
import { gatheredBytesMax, type ServerRequest } from '@platform/http1/server-request.ts';
import type { Log } from '@platform/log.ts';
import { fault } from './errors.ts';
import { type ContextName, type Repeatable, routeOf } from './routes.ts';
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

const hostPattern = /^[\w.\-:[\]]{1,255}$/;

/**
 * Hands a request to an instance of the context that owns its path. What was not sent for sure goes to
 * another instance; what was sent only when it may be done twice (`Repeatable`). Throws
 * `upstream.unavailable` when it was not delivered, `upstream.lost` and `upstream.timeout` when it may have
 * been: the caller repeats a write only with its Idempotency-Key.
 */
export function createProxy({
  upstreams,
  settings,
  bodyBytesMax,
  clock,
  log,
}: ProxyOptions): Behind<ServerRequest, Reply> {
  const timeoutMs = settings.UPSTREAM_TIMEOUT_MS;
  return (request, entry) => {
    const route = routeOf(request.method, request.path);
    if (route === undefined) throw platformFault('request.not_found');
    const dueMs = dueMsOf(request, clock.nowMs(), timeoutMs);
    const body = bodyOf(request, bodyBytesMax);
    const lines = linesFor(request, entry, dueMs, settings);
    const { method, target } = request;
    const isGone = () => request.isGone();
    const sendWith = (ready: OutgoingRequest['body']) =>
      send(
        upstreams[route.owner],
        { method, target, lines, body: ready, isGone, dueMs },
        isRepeatable(request, route.repeatable),
        request.path,
      );
    return body instanceof Promise ? body.then(sendWith) : sendWith(body);
  };

  function send(
    upstream: Upstream,
    outgoing: OutgoingRequest,
    repeatable: boolean,
    path: string,
    attempt = 1,
    notThis?: Instance,
  ): Promise<Reply> {
    const { instance, release } = upstream.acquire(notThis);
    // No `await`: what goes well, nearly all, waits for one promise and no other.
    return instance.client.send(outgoing).then(
      (reply) => {
        release('answered');
        return reply;
      },
      (error: unknown) => {
        const failure =
          error instanceof ExchangeFailure ? error : new ExchangeFailure('malformed', true, error);
        release(outcomeOf(failure));
        if (failure.reason !== 'cancelled')
          log.warn(
            { upstream: upstream.name, instance: instance.url, path, attempt, err: failure },
            'upstream failed',
          );
        if (attempt === attemptsMax || !mayRepeat(failure, outgoing, repeatable) || !upstream.mayRepeat())
          throw faultOf(failure);
        return send(upstream, outgoing, repeatable, path, attempt + 1, instance);
      },
    );
  }
}

/** Our own patience, or the client's where that ends sooner. Throws `request.deadline_passed`. */
export function dueMsOf(request: ServerRequest, nowMs: number, timeoutMs: number): number {
  const deadline = request.header(headers.deadline);
  const asked = deadline === undefined ? Number.POSITIVE_INFINITY : Number(deadline) || 0;
  const dueMs = Math.min(nowMs + timeoutMs, asked);
  if (dueMs <= nowMs) throw platformFault('request.deadline_passed');
  return dueMs;
}

/** The header lines to an instance: the client's, and what we know of the request. */
export function linesFor(
  request: ServerRequest,
  { requestId, address }: Pick<Entry, 'requestId' | 'address'>,
  dueMs: number,
  settings: GatewaySettings,
): string {
  const host = told(request, 'host', settings);
  return (
    `${request.lines}${headers.requestId}: ${requestId}\r\nx-forwarded-for: ${address()}\r\n` +
    `${host === undefined ? '' : `x-forwarded-host: ${host}\r\n`}` +
    `x-forwarded-proto: ${told(request, 'proto', settings) ?? 'http'}\r\n` +
    `${headers.deadline}: ${dueMs}\r\n`
  );
}

/** What the client asked for; a proxy of ours in front may know better. */
function told(request: ServerRequest, what: 'host' | 'proto', settings: GatewaySettings): string | undefined {
  const inFront = settings.TRUSTED_PROXY_HOPS > 0 ? request.header(`x-forwarded-${what}`) : undefined;
  const value = inFront ?? (what === 'host' ? request.header('host') : undefined);
  return value !== undefined && hostPattern.test(value) ? value : undefined;
}

function bodyOf(
  request: ServerRequest,
  bytesMax: number,
): OutgoingRequest['body'] | Promise<OutgoingRequest['body']> {
  const { method, bodyBytes } = request;
  if (bodyBytes === 0 || method === 'GET' || method === 'HEAD') return undefined;
  if (bodyBytes !== undefined && bodyBytes > bytesMax) throw platformFault('request.too_large');
  return bodyBytes === undefined || bodyBytes <= gatheredBytesMax ? request.body() : request.stream();
}

const isRepeatable = (request: ServerRequest, repeatable: Repeatable): boolean =>
  repeatable === 'always' ||
  (repeatable === 'with_key' && request.header(headers.idempotencyKey) !== undefined);

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
