import { headers } from '@contracts/common.ts';
import type { Clock } from '@platform/clock.ts';
import type { RequestInfo } from '@platform/http/edge-request.ts';
import { bufferedBodyBytesMax } from '@platform/http-message/body-limits.ts';
import type { OutgoingRequest } from '@platform/http1/outgoing-request.ts';
import type { Reply } from '@platform/http1/reply.ts';
import type { ServerRequest } from '@platform/http1/server-request.ts';
import type { Log } from '@platform/log.ts';
import { problem as platformFault } from '@platform/problems.ts';
import { createUpstreamSend } from '@platform/upstream/send.ts';
import type { Upstream } from '@platform/upstream/upstream.ts';
import type { EdgeNext } from '../edge/request-info.ts';
import type { ContextName, Repeatability } from '../routing/routes.ts';
import type { GatewaySettings } from '../settings.ts';

export type ContextUpstreams = Readonly<Record<ContextName, Upstream>>;

export interface ProxyDeps {
  upstreams: ContextUpstreams;
  settings: GatewaySettings;
  /** Larger bodies are refused here, whether their length was told or not. */
  bodyBytesMax: number;
  clock: Clock;
  log: Log;
}

// The first instance and two others: more would only spread an outage.
const attemptsMax = 3;

/**
 * Forwards a request to an instance of the context that owns its path; one that was lost goes to another
 * instance when it may be done twice (`Repeatable`). Throws faults `upstream.…`: after `upstream.lost` and
 * `upstream.timeout` the caller repeats a write only with its Idempotency-Key.
 */
export function createProxy({
  upstreams,
  settings,
  bodyBytesMax,
  clock,
  log,
}: ProxyDeps): EdgeNext<ServerRequest, Reply> {
  const send = createUpstreamSend({ clock, log, attemptsMax, timeoutMs: settings.UPSTREAM_TIMEOUT_MS });
  return (request, entry) => {
    const { owner, repeatability } = entry.route;
    if (owner === undefined) throw platformFault('request.not_found');
    const body = bodyOf(request, bodyBytesMax);
    const lines = forwardedHeaderLines(request, entry);
    const { method, target } = request;
    const { dueMs } = entry;
    const isAbandoned = () => request.isAbandoned();
    const sendWith = (ready: OutgoingRequest['body']) =>
      send(
        upstreams[owner],
        { method, target, lines, body: ready, isAbandoned, dueMs },
        isRepeatable(request, repeatability),
      );
    return body instanceof Promise ? body.then(sendWith) : sendWith(body);
  };
}

// A gateway names itself to whoever it forwards to (RFC 9110 §7.6.3), and the version that it was asked in.
const via = 'via: 1.1 gateway\r\n';
const viaOld = 'via: 1.0 gateway\r\n';

/** The header lines to an instance: the client's, and what we know of the request. */
export function forwardedHeaderLines(request: ServerRequest, entry: RequestInfo): string {
  const host = entry.clientHost();
  return (
    `${request.lines}${headers.requestId}: ${entry.requestId}\r\nx-forwarded-for: ${entry.clientAddress()}\r\n` +
    `${host === undefined ? '' : `x-forwarded-host: ${host}\r\n`}` +
    `x-forwarded-proto: ${entry.clientProtocol()}\r\n${headers.deadline}: ${entry.dueMs}\r\n` +
    (request.isHttp11 ? via : viaOld)
  );
}

function bodyOf(
  request: ServerRequest,
  bytesMax: number,
): OutgoingRequest['body'] | Promise<OutgoingRequest['body']> {
  const { method, bodyBytes } = request;
  if (bodyBytes === 0 || method === 'GET' || method === 'HEAD') return undefined;
  if (bodyBytes !== undefined && bodyBytes > bytesMax) throw platformFault('request.too_large');
  return bodyBytes === undefined || bodyBytes <= bufferedBodyBytesMax ? request.body() : request.stream();
}

const isRepeatable = (request: ServerRequest, repeatable: Repeatability): boolean =>
  repeatable === 'always' ||
  (repeatable === 'with_key' && request.header(headers.idempotencyKey) !== undefined);
