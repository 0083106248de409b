import { headers } from '@contracts/common.ts';
import type { EdgeRequest, HeaderLine, ResponseAdapter } from '@platform/http/edge-request.ts';
import type { EdgeRouter } from '../routing/router.ts';
import type { EdgeHandler } from './edge.ts';

/** What our routes read of a request. */
const requestHeaders = [
  'authorization',
  'content-type',
  headers.idempotencyKey,
  headers.deadline,
  headers.readConsistencyToken,
  headers.traceparent,
].join(', ');

/** What a page may read of an answer beside the headers that every page may. */
const answerHeaders = [
  'location',
  'ratelimit',
  'ratelimit-policy',
  'retry-after',
  'allow',
  headers.requestId,
  headers.readConsistencyToken,
].join(', ');

const preflightSeconds = 7_200;

export interface Cors<Asked, Answer> {
  handle: EdgeHandler<Asked, Answer>;
  /** Adds to an answer that was not made by `handle` what a page needs to read it. */
  addHeaders(request: Asked, answer: Answer): void;
}

/**
 * Lets pages of other origins use the API (CORS, Fetch standard): those of `origins` and no other; with none
 * of them nothing is added to any answer. Credentials of browsers are never let in: clients send tokens. Which
 * methods a preflight hears of is what the path has.
 */
export function createCors<Asked extends EdgeRequest, Answer>(
  origins: ReadonlySet<string>,
  dialect: Pick<ResponseAdapter<Answer>, 'addHeaders'>,
  router: Pick<EdgeRouter, 'methodsOf'>,
  next: EdgeHandler<Asked, Answer>,
): Cors<Asked, Answer> {
  if (origins.size === 0) return { handle: next, addHeaders: () => undefined };

  const withCors = (request: Asked, answer: Answer): Answer => {
    dialect.addHeaders(answer, linesFor(request));
    return answer;
  };
  return {
    addHeaders: withCors,
    handle(request) {
      const answered = next(request);
      return answered instanceof Promise
        ? answered.then((answer) => withCors(request, answer))
        : withCors(request, answered);
    },
  };

  function linesFor(request: Asked): HeaderLine[] {
    const origin = request.header('origin');
    // Said to all: what a cache keeps for one origin is not for another.
    if (origin === undefined || !origins.has(origin)) return [['vary', 'Origin']];
    const shared: HeaderLine[] = [
      ['vary', 'Origin'],
      ['access-control-allow-origin', origin],
    ];
    const isPreflight =
      request.method === 'OPTIONS' && request.header('access-control-request-method') !== undefined;
    if (!isPreflight) return [...shared, ['access-control-expose-headers', answerHeaders]];
    return [
      ...shared,
      ['access-control-allow-methods', (router.methodsOf(request.path) ?? []).join(', ')],
      ['access-control-allow-headers', requestHeaders],
      ['access-control-max-age', String(preflightSeconds)],
    ];
  }
}
