import { type Problem, problem } from '../problems.ts';

/** Ends the wait for responses that take too long; see `withTimeout`. */
export interface Timeouts {
  /** The response, or a 503 once `timeoutMs` have passed. After a 503 the outcome is unknown. */
  withTimeout(request: Request, response: Promise<Response>): Promise<Response>;
  /** How many responses are awaited. */
  pendingCount(): number;
}

// Requests that begin within one eighth of the timeout share a timer, so a timeout is late by that much at most.
const generations = 8;

interface PendingResponse {
  request: Request;
  timeOut(response: Response): void;
}

/**
 * A hung dependency must never hang its callers. Requests that begin at about the same time share one timer,
 * because a timer for each is a good part of what a cheap request costs. An idle server has no timer.
 */
export function createTimeouts(
  timeoutMs: number,
  toErrorResponse: (error: Problem, request: Request) => Response,
): Timeouts {
  const spanMs = Math.max(1, Math.ceil(timeoutMs / generations));
  let openGeneration: Set<PendingResponse> | undefined;
  let pendingCount = 0;

  return {
    withTimeout(request, response) {
      const generation = openGeneration ?? startGeneration();
      pendingCount++;
      return new Promise((resolve, reject) => {
        const pending: PendingResponse = { request, timeOut: resolve };
        generation.add(pending);
        const settle = () => {
          generation.delete(pending);
          pendingCount--;
        };
        response.then(
          (settled) => {
            settle();
            resolve(settled);
          },
          (error: unknown) => {
            settle();
            reject(error);
          },
        );
      });
    },
    pendingCount: () => pendingCount,
  };

  /** A generation is open to new requests for `spanMs`, and times out `timeoutMs` after it closes. */
  function startGeneration(): Set<PendingResponse> {
    const generation = new Set<PendingResponse>();
    openGeneration = generation;
    setTimeout(() => {
      openGeneration = undefined;
      // Most generations are empty by then and need no second timer.
      if (generation.size > 0) setTimeout(() => timeOut(generation), timeoutMs).unref();
    }, spanMs).unref();
    return generation;
  }

  function timeOut(generation: Set<PendingResponse>): void {
    const timeoutProblem = problem('service.unavailable', {
      detail: 'no response in time',
      retryAfterSeconds: 1,
    });
    for (const pending of generation) pending.timeOut(toErrorResponse(timeoutProblem, pending.request));
  }
}
