import { headers } from '@contracts/common.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { problem } from '../problems.ts';
import { problemResponse, toProblem } from './problem.ts';

export interface RequestLifecycleDeps {
  service: string;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  bodyBytesMax: number;
}

/** What is told of a request: never its query, which may hold tickets and positions. */
export type LoggedRequest = { method: string } & ({ path: string } | { url: string });

export type RequestLifecycle = ReturnType<typeof createRequestLifecycle>;

/** What is done with each request of a service, whichever way it is routed. */
export function createRequestLifecycle({ service, clock, log, metrics, bodyBytesMax }: RequestLifecycleDeps) {
  return {
    /** Throws as `parseDeadline` does, and `request.too_large`, before anything of the body is read. */
    checkHead(request: Request): void {
      parseDeadline(request.headers.get(headers.deadline), clock.nowMs());
      if (Number(request.headers.get('content-length') ?? 0) > bodyBytesMax)
        throw problem('request.too_large');
    },

    /** The answer to a request that failed; what went wrong inside goes to the log. */
    failed(error: unknown, request: LoggedRequest, requestId: string | undefined): Response {
      const shown = toProblem(error);
      const answer = problemResponse(shown, requestId);
      // A deadline is the caller's own: to be late is nothing that is wrong with us.
      if (answer.status >= 500 && shown.kind !== 'timeout') {
        const fields = { requestId, method: request.method, path: pathOf(request), code: shown.code };
        log.error({ ...fields, err: error }, 'request failed');
      }
      metrics.count('http_problems_total', { service, code: shown.code });
      return answer;
    },

    /** Counts how long a request to `route` took. */
    observe(route: string, status: number, durationMs: number): void {
      metrics.observe(durationName, durationMs, { service, route, status: String(status) });
    },
    /** The same for one outcome that is seen tens of thousands of times a second. */
    observer: (route: string, status: number) =>
      metrics.observer(durationName, { service, route, status: String(status) }),

    /** The line of the access log. */
    tell(request: LoggedRequest, requestId: string | undefined, status: number, durationMs: number): void {
      log.info({ requestId, method: request.method, path: pathOf(request), status, durationMs }, 'request');
    },
  };
}

const deadlinePattern = /^\d{1,15}$/;

/**
 * The deadline that a caller gave a request, Unix milliseconds; infinite without one. Throws
 * `request.deadline_invalid` and `request.deadline_passed`.
 */
export function parseDeadline(text: string | null | undefined, nowMs: number): number {
  if (text == null) return Number.POSITIVE_INFINITY;
  if (!deadlinePattern.test(text)) throw problem('request.deadline_invalid');
  const deadlineMs = Number(text);
  if (deadlineMs < nowMs) throw problem('request.deadline_passed');
  return deadlineMs;
}

const durationName = 'http_request_duration_ms';

const requestIdPattern = /^[\w.-]{8,64}$/;

/** The id that the caller gave the request, if it is one. */
export function readRequestId(request: Request): string | undefined {
  const given = request.headers.get(headers.requestId);
  return given !== null && requestIdPattern.test(given) ? given : undefined;
}

const pathOf = (request: LoggedRequest): string =>
  'path' in request ? request.path : new URL(request.url, 'http://localhost').pathname;
