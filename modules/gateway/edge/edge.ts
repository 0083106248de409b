import { headers } from '@contracts/common.ts';
import type { EdgeRequest, ResponseAdapter } from '@platform/http/edge-request.ts';
import { parseOrigins } from '@platform/http/origins.ts';
import { parseDeadline } from '@platform/http/request-lifecycle.ts';
import type { Worker } from '@platform/lifecycle.ts';
import { createAdmission } from '../admission/admission.ts';
import type { EdgeHandler, EdgeNext } from '../ports.ts';
import type { AdmittedRoute } from '../routing/public-route.ts';
import { createAdmittedHandler } from './admitted-handler.ts';
import { createCors } from './cors.ts';
import type { EdgeDeps } from './deps.ts';
import { createRejection } from './rejection.ts';

export interface Edge<Incoming, Outgoing> {
  handle: EdgeHandler<Incoming, Outgoing>;
  /** Adds CORS headers to a response that the server itself gives, so that pages of other origins can read it. */
  addCorsHeaders(request: Incoming, response: Outgoing): void;
  /** Measure the load. Unless they run, no request is shed. */
  workers: Worker[];
}

/**
 * A shorter deadline is extended to this. Work that is started and thrown away again and again must not be cheaper
 * for its caller than work that succeeds, and clocks differ.
 */
export const deadlineMsMin = 1_000;

/** The API documents are large and open to everyone, so they are limited by address and shed first. */
const documentRoute: AdmittedRoute = {
  owner: undefined,
  limitClass: 'document',
  priority: 4,
  requiresToken: false,
  repeatability: 'never',
};

/**
 * The public entry point, in front of either the contexts themselves (one process) or the proxy to them (fleet).
 * A request passes these steps, and each can reject it:
 *
 *     route → deadline → body received → admission → token → rate limit → forward to `next`
 *
 * Requests to routes of the process itself go to `operations`. Each step returns at once where nothing has to be
 * awaited, because a promise for each step would cost more than the step.
 */
export function createEdge<Incoming extends EdgeRequest, Outgoing>(
  deps: EdgeDeps,
  responses: ResponseAdapter<Outgoing>,
  next: EdgeNext<Incoming, Outgoing>,
  operations: EdgeHandler<Incoming, Outgoing>,
): Edge<Incoming, Outgoing> {
  const { router, clock, ids } = deps;
  const admission = createAdmission(deps);
  const reject = createRejection(responses, deps);
  const admit = createAdmittedHandler({ ...deps, admission, responses, reject, next, operations });
  const cors = createCors(parseOrigins(deps.settings.CORS_ORIGINS), responses, router, handle);

  return { handle: cors.handle, addCorsHeaders: cors.addHeaders, workers: [admission] };

  function handle(request: Incoming): Outgoing | Promise<Outgoing> {
    const match = router.match(request.method, request.path);
    switch (match.kind) {
      case 'public':
        return receive(request, match.route);
      case 'operation':
        return operations(request);
      case 'document':
        return receive(request, documentRoute);
      case 'options':
        return responses.noContent([['allow', match.methods.join(', ')]]);
      case 'rejected':
        return reject(match.problem, request.path, ids<string>());
    }
  }

  function receive(request: Incoming, route: AdmittedRoute): Outgoing | Promise<Outgoing> {
    const nowMs = clock.nowMs();
    let deadlineMs: number;
    try {
      deadlineMs = Math.max(parseDeadline(request.header(headers.deadline), nowMs), nowMs + deadlineMsMin);
    } catch (error) {
      return reject(error, request.path, ids<string>());
    }
    // A slow sender holds a connection, but takes no admission slot from requests that are complete.
    const pendingBody = request.pendingBody();
    if (pendingBody === undefined) return admit(request, route, deadlineMs);
    return pendingBody.then(
      () => admit(request, route, deadlineMs),
      (error: unknown) => reject(error, request.path, ids<string>()),
    );
  }
}
