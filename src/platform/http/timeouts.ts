import { type Problem, problem } from '../problems.ts';

/** Answers that take too long are given up for their caller; see `within`. */
export interface Timeouts {
  /** The answer, or a 503 once `timeoutMs` have passed: then the outcome is unknown. */
  withTimeout(request: Request, answer: Promise<Response>): Promise<Response>;
  /** Answers that are waited for. */
  pendingCount(): number;
}

// The answers that began in one eighth of the time limit share a timer: they are late by as much at most.
const generations = 8;

interface Waiting {
  request: Request;
  giveUp(response: Response): void;
}

/**
 * A hung dependency must never hang its callers. One timer for all requests of a moment, since one for
 * each is a good part of what a cheap request costs; there is none while nothing is waited for.
 */
export function createTimeouts(
  timeoutMs: number,
  failed: (error: Problem, request: Request) => Response,
): Timeouts {
  const spanMs = Math.max(1, Math.ceil(timeoutMs / generations));
  let youngest: Set<Waiting> | undefined;
  let waiting = 0;

  return {
    withTimeout(request, answer) {
      const generation = youngest ?? begin();
      waiting++;
      return new Promise((resolve, reject) => {
        const one: Waiting = { request, giveUp: resolve };
        generation.add(one);
        const end = () => {
          generation.delete(one);
          waiting--;
        };
        answer.then(
          (response) => {
            end();
            resolve(response);
          },
          (error: unknown) => {
            end();
            reject(error);
          },
        );
      });
    },
    pendingCount: () => waiting,
  };

  /** A generation takes in answers for `spanMs`, and is given up `timeoutMs` after the last could join. */
  function begin(): Set<Waiting> {
    const generation = new Set<Waiting>();
    youngest = generation;
    setTimeout(() => {
      youngest = undefined;
      // Most are answered by then: nothing to come back for.
      if (generation.size > 0) setTimeout(() => giveUp(generation), timeoutMs).unref();
    }, spanMs).unref();
    return generation;
  }

  function giveUp(generation: Set<Waiting>): void {
    const late = problem('service.unavailable', { detail: 'no answer in time', retryAfterSeconds: 1 });
    for (const one of generation) one.giveUp(failed(late, one.request));
  }
}
