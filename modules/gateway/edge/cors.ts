import { headers } from '@contracts/common.ts';
import type { EdgeRequest, HeaderLine, ResponseAdapter } from '@platform/http/edge-request.ts';
import type { EdgeHandler } from '../ports.ts';
import type { EdgeRouter } from '../routing/router.ts';

/** The request headers that the routes read. */
const requestHeaders = [
  'authorization',
  'content-type',
  headers.idempotencyKey,
  headers.deadline,
  headers.readConsistencyToken,
  headers.traceparent,
].join(', ');

/** The response headers that a page may read in addition to the CORS-safelisted ones. */
const responseHeaders = [
  'location',
  'ratelimit',
  'ratelimit-policy',
  'retry-after',
  'allow',
  headers.requestId,
  headers.readConsistencyToken,
].join(', ');

const preflightSeconds = 7_200;

export interface Cors<Incoming, Outgoing> {
  handle: EdgeHandler<Incoming, Outgoing>;
  /** Adds CORS headers to a response that `handle` did not build. */
  addHeaders(request: Incoming, response: Outgoing): void;
}

/**
 * Lets pages of the given origins use the API (CORS, Fetch standard). Without origins no response has CORS headers.
 * Browser credentials are never allowed, because clients send tokens. A preflight lists the methods that the
 * path has.
 */
export function createCors<Incoming extends EdgeRequest, Outgoing>(
  origins: ReadonlySet<string>,
  responses: Pick<ResponseAdapter<Outgoing>, 'addHeaders'>,
  router: Pick<EdgeRouter, 'methodsOf'>,
  next: EdgeHandler<Incoming, Outgoing>,
): Cors<Incoming, Outgoing> {
  if (origins.size === 0) return { handle: next, addHeaders: () => undefined };

  const withCors = (request: Incoming, response: Outgoing): Outgoing => {
    responses.addHeaders(response, corsHeadersFor(request));
    return response;
  };
  return {
    addHeaders: withCors,
    handle(request) {
      const response = next(request);
      return response instanceof Promise
        ? response.then((settled) => withCors(request, settled))
        : withCors(request, response);
    },
  };

  function corsHeadersFor(request: Incoming): HeaderLine[] {
    const origin = request.header('origin');
    // Every response varies by origin, so that a cache never serves the response for one origin to another.
    if (origin === undefined || !origins.has(origin)) return [['vary', 'Origin']];
    const shared: HeaderLine[] = [
      ['vary', 'Origin'],
      ['access-control-allow-origin', origin],
    ];
    const isPreflight =
      request.method === 'OPTIONS' && request.header('access-control-request-method') !== undefined;
    if (!isPreflight) return [...shared, ['access-control-expose-headers', responseHeaders]];
    return [
      ...shared,
      ['access-control-allow-methods', (router.methodsOf(request.path) ?? []).join(', ')],
      ['access-control-allow-headers', requestHeaders],
      ['access-control-max-age', String(preflightSeconds)],
    ];
  }
}
