import type { ResponseAdapter } from '@platform/http/edge-request.ts';
import { toProblem } from '@platform/http/problem.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';

/** Builds and counts the response to a request that the edge rejects. */
export type Rejection<Outgoing> = (error: unknown, path: string, requestId: string) => Outgoing;

/** Errors that are no public problem are logged, and the client gets an opaque one. */
export function createRejection<Outgoing>(
  responses: ResponseAdapter<Outgoing>,
  { log, metrics }: { log: Log; metrics: Metrics },
): Rejection<Outgoing> {
  return (error, path, requestId) => {
    const publicProblem = toProblem(error);
    metrics.count('edge_refused_total', { code: publicProblem.code });
    if (publicProblem.kind === 'internal')
      log.error({ requestId, path, err: error }, 'failed to handle request at the edge');
    return responses.problem(publicProblem, requestId);
  };
}
