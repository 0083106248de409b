import { headers } from '@contracts/common.ts';
import type { Clock } from '@platform/clock.ts';
import type { Repeatability } from '@platform/http/edge-policy.ts';
import type { RequestInfo } from '@platform/http/edge-request.ts';
import { bufferedBodyBytesMax } from '@platform/http-message/body-limits.ts';
import type { OutgoingRequest } from '@platform/http1/outgoing-request.ts';
import type { Reply } from '@platform/http1/reply.ts';
import type { ServerRequest } from '@platform/http1/server-request.ts';
import type { Log } from '@platform/log.ts';
import { problem } from '@platform/problems.ts';
import { createUpstreamSend } from '@platform/upstream/send.ts';
import type { ContextUpstreams, EdgeNext } from '../ports.ts';
import type { GatewaySettings } from '../settings.ts';

export interface ProxyDeps {
  upstreams: ContextUpstreams;
  settings: GatewaySettings;
  /** Larger bodies are rejected, whether their length was announced or not. */
  bodyBytesMax: number;
  clock: Clock;
  log: Log;
}

// The first instance and two others. More attempts would only spread an outage.
const attemptsMax = 3;

/**
 * Forwards a request to an instance of the context that owns its route. A request that was lost goes to another
 * instance if its route is repeatable (`Repeatability`). Throws `upstream.…` problems. After `upstream.lost` and
 * `upstream.timeout` the caller may repeat a write only with its Idempotency-Key.
 */
export function createProxy({
  upstreams,
  settings,
  bodyBytesMax,
  clock,
  log,
}: ProxyDeps): EdgeNext<ServerRequest, Reply> {
  const send = createUpstreamSend({ clock, log, attemptsMax, timeoutMs: settings.UPSTREAM_TIMEOUT_MS });
  return (request, info) => {
    const { owner, repeatability } = info.route;
    if (owner === undefined) throw problem('request.not_found');
    const body = bodyOf(request, bodyBytesMax);
    const lines = forwardedHeaderLines(request, info);
    const { method, target } = request;
    const { dueMs } = info;
    const isAbandoned = () => request.isAbandoned();
    const sendWithBody = (bufferedBody: OutgoingRequest['body']) =>
      send(
        upstreams[owner],
        { method, target, lines, body: bufferedBody, isAbandoned, dueMs },
        isRepeatable(request, repeatability),
      );
    return body instanceof Promise ? body.then(sendWithBody) : sendWithBody(body);
  };
}

// A gateway adds itself to the Via header with the HTTP version of the request it received (RFC 9110, section 7.6.3).
const via = 'via: 1.1 gateway\r\n';
const viaHttp10 = 'via: 1.0 gateway\r\n';

/** The header lines for an instance: those of the client, and what the edge knows of the request. */
export function forwardedHeaderLines(request: ServerRequest, info: RequestInfo): string {
  const host = info.clientHost();
  return (
    `${request.lines}${headers.requestId}: ${info.requestId}\r\nx-forwarded-for: ${info.clientAddress()}\r\n` +
    `${host === undefined ? '' : `x-forwarded-host: ${host}\r\n`}` +
    `x-forwarded-proto: ${info.clientProtocol()}\r\n${headers.deadline}: ${info.dueMs}\r\n` +
    (request.isHttp11 ? via : viaHttp10)
  );
}

function bodyOf(
  request: ServerRequest,
  bytesMax: number,
): OutgoingRequest['body'] | Promise<OutgoingRequest['body']> {
  const { method, bodyBytes } = request;
  if (bodyBytes === 0 || method === 'GET' || method === 'HEAD') return undefined;
  if (bodyBytes !== undefined && bodyBytes > bytesMax) throw problem('request.too_large');
  return bodyBytes === undefined || bodyBytes <= bufferedBodyBytesMax ? request.body() : request.stream();
}

const isRepeatable = (request: ServerRequest, repeatable: Repeatability): boolean =>
  repeatable === 'always' ||
  (repeatable === 'with_key' && request.header(headers.idempotencyKey) !== undefined);
