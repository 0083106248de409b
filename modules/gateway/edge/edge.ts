import { headers } from '@contracts/common.ts';
import { bearerToken } from '@platform/auth/guard.ts';
import type { Principal, Verifier } from '@platform/auth/verifier.ts';
import { networkOf } from '@platform/client-network.ts';
import type { Clock } from '@platform/clock.ts';
import type { EdgeRequest, ResponseAdapter } from '@platform/http/edge-request.ts';
import { parseOrigins } from '@platform/http/origins.ts';
import { toProblem } from '@platform/http/problem.ts';
import { parseDeadline } from '@platform/http/request-lifecycle.ts';
import type { Ids } from '@platform/ids.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { problem } from '@platform/problems.ts';
import { createAdmission } from '../admission/admission.ts';
import { limitHandshakes } from '../admission/handshakes.ts';
import { gatewayProblem } from '../errors.ts';
import { createClassLimits } from '../limits/class-limits.ts';
import type { LimitDecision, RateLimits } from '../limits/limits.ts';
import type { EdgeHandler, EdgeNext } from '../ports.ts';
import type { AdmittedRoute } from '../routing/public-route.ts';
import type { EdgeRouter } from '../routing/router.ts';
import type { GatewaySettings } from '../settings.ts';
import { createCors } from './cors.ts';
import { clientAddressOf, EdgeRequestInfo } from './request-info.ts';

export interface EdgeDeps {
  router: EdgeRouter;
  verifier: Verifier;
  limits: RateLimits;
  settings: GatewaySettings;
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
}

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
/** The share of a service's requests in flight that WebSocket handshakes may take. */
const handshakeShare = 0.5;

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
  const { router, verifier, metrics, clock, log, ids } = deps;
  const admission = createAdmission(deps);
  const limits = createClassLimits(deps.limits, deps.settings);
  const { TRUSTED_PROXY_HOPS: trustedHops, UPSTREAM_TIMEOUT_MS: timeoutMs } = deps.settings;
  const handshakesMax = Math.ceil(deps.settings.UPSTREAM_CONCURRENCY_MAX * handshakeShare);
  const forwardHandshake = limitHandshakes(handshakesMax, next);
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

  function admit(request: Incoming, route: AdmittedRoute, deadlineMs: number): Outgoing | Promise<Outgoing> {
    const requestId = ids<string>();
    const leave = admission.admit(route.priority, route.limitClass !== 'auth');
    if (leave === undefined) return reject(overloaded, request.path, requestId);
    const visit: Visit = { requestId, leave, route, deadlineMs };
    try {
      if (!route.requiresToken) return takeLimit(request, visit, undefined);
      const principal = verifier.verify(bearerToken(request.header('authorization')));
      if (!(principal instanceof Promise)) return takeLimit(request, visit, principal);
      return principal
        .then((verified) => takeLimit(request, visit, verified))
        .catch((error) => respondWithProblem(error, request, visit));
    } catch (error) {
      return respondWithProblem(error, request, visit);
    }
  }

  /** Takes one request from the quota of the principal, or of the client's network when there is no token. */
  function takeLimit(
    request: Incoming,
    visit: Visit,
    principal: Principal | undefined,
  ): Outgoing | Promise<Outgoing> {
    const clientId = principal?.id ?? networkOf(clientAddressOf(request, trustedHops));
    const decision = limits[visit.route.limitClass].limiter.take(clientId);
    if (!(decision instanceof Promise)) return forward(request, visit, principal, decision);
    return decision
      .then((decided) => forward(request, visit, principal, decided))
      .catch((error) => respondWithProblem(error, request, visit));
  }

  /** Forwards the request and adds rate limit headers to the response, with one promise for nearly all requests. */
  function forward(
    request: Incoming,
    visit: Visit,
    principal: Principal | undefined,
    { isAllowed, remaining, waitMs }: LimitDecision,
  ): Outgoing | Promise<Outgoing> {
    const { route, leave, requestId, deadlineMs } = visit;
    const { limitClass } = route;
    const addRateLimitHeaders = (response: Outgoing) => {
      leave();
      const limitText = `"${limitClass}";r=${remaining};t=${Math.ceil(waitMs / 1000)}`;
      responses.addRateLimit(response, limits[limitClass].policyText, limitText);
      return response;
    };
    if (!isAllowed) {
      const exceeded = gatewayProblem('limit.exceeded', { retryAfterSeconds: waitMs / 1000 });
      return addRateLimitHeaders(reject(exceeded, request.path, requestId));
    }
    const nowMs = clock.nowMs();
    // The body may have taken longer to arrive than the caller waits.
    if (deadlineMs <= nowMs) throw problem('request.deadline_passed');
    const dueMs = Math.min(deadlineMs, nowMs + timeoutMs);
    const info = new EdgeRequestInfo(request, trustedHops, requestId, principal, dueMs, route);
    const handler =
      route === documentRoute ? operations : limitClass === 'realtime' ? forwardHandshake : next;
    const response = handler(request, info);
    if (!(response instanceof Promise)) return addRateLimitHeaders(response);
    return response.then(addRateLimitHeaders, (error) => respondWithProblem(error, request, visit));
  }

  function respondWithProblem(error: unknown, { path }: Incoming, { leave, requestId }: Visit): Outgoing {
    leave();
    return reject(error, path, requestId);
  }

  function reject(error: unknown, path: string, requestId: string): Outgoing {
    const publicProblem = toProblem(error);
    metrics.count('edge_refused_total', { code: publicProblem.code });
    if (publicProblem.kind === 'internal')
      log.error({ requestId, path, err: error }, 'failed to handle request at the edge');
    return responses.problem(publicProblem, requestId);
  }
}

// A client that retries at once would be shed again. The problem is created once, because the stack of an error
// would cost more than the rest of shedding.
const overloaded = gatewayProblem('edge.overloaded', { retryAfterSeconds: 1 });

/** The API documents are large and open to everyone, so they are limited by address and shed first. */
const documentRoute: AdmittedRoute = {
  owner: undefined,
  limitClass: 'document',
  priority: 4,
  requiresToken: false,
  repeatability: 'never',
};

/** An admitted request, until its response. */
interface Visit {
  requestId: string;
  route: AdmittedRoute;
  /** Returns the admission slot. Called exactly once. */
  leave: () => void;
  /** Unix milliseconds; infinite when the client set no deadline. */
  deadlineMs: number;
}
