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

/** What is logged of a request. The query is left out because it may hold tickets and positions. */
export type LoggedRequest = { method: string } & ({ path: string } | { url: string });

export type RequestLifecycle = ReturnType<typeof createRequestLifecycle>;

/** The steps that every request of a service goes through, whether the framework or a hot route serves it. */
export function createRequestLifecycle({ service, clock, log, metrics, bodyBytesMax }: RequestLifecycleDeps) {
  return {
    /** Throws as `parseDeadline` does, and `request.too_large`, before any of the body is read. */
    checkHead(request: Request): void {
      parseDeadline(request.headers.get(headers.deadline), clock.nowMs());
      if (Number(request.headers.get('content-length') ?? 0) > bodyBytesMax)
        throw problem('request.too_large');
    },

    /** Builds the response to a failed request. Internal details go to the log only. */
    respondToError(error: unknown, request: LoggedRequest, requestId: string | undefined): Response {
      const problem = toProblem(error);
      const response = problemResponse(problem, requestId);
      // The caller chose the deadline, so a missed one is not an error of this service.
      if (response.status >= 500 && problem.kind !== 'timeout') {
        const fields = { requestId, method: request.method, path: pathOf(request), code: problem.code };
        log.error({ ...fields, err: error }, 'request failed');
      }
      metrics.count('http_problems_total', { service, code: problem.code });
      return response;
    },

    /** Records how long a request to `route` took. */
    recordDuration(route: string, status: number, durationMs: number): void {
      metrics.observe(durationName, durationMs, { service, route, status: String(status) });
    },
    /** A recorder for one route and status that occur tens of thousands of times a second. */
    durationRecorder: (route: string, status: number) =>
      metrics.observer(durationName, { service, route, status: String(status) }),

    /** Writes the access log line. */
    logRequest(
      request: LoggedRequest,
      requestId: string | undefined,
      status: number,
      durationMs: number,
    ): void {
      log.info({ requestId, method: request.method, path: pathOf(request), status, durationMs }, 'request');
    },
  };
}

const deadlinePattern = /^\d{1,15}$/;

/**
 * The deadline that the caller set, in Unix milliseconds; infinite when there is none. Throws
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

/** The request id that the caller sent, if it is well formed. */
export function readRequestId(request: Request): string | undefined {
  const requestId = request.headers.get(headers.requestId);
  return requestId !== null && requestIdPattern.test(requestId) ? requestId : undefined;
}

const pathOf = (request: LoggedRequest): string =>
  'path' in request ? request.path : new URL(request.url, 'http://localhost').pathname;
