import { bearerToken } from '@platform/auth/guard.ts';
import type { Principal } from '@platform/auth/verifier.ts';
import { networkOf } from '@platform/client-network.ts';
import type { EdgeRequest, ResponseAdapter } from '@platform/http/edge-request.ts';
import { problem } from '@platform/problems.ts';
import type { Admission } from '../admission/admission.ts';
import { limitHandshakes } from '../admission/handshakes.ts';
import { gatewayProblem } from '../errors.ts';
import { createClassLimits } from '../limits/class-limits.ts';
import type { LimitDecision } from '../limits/limits.ts';
import type { EdgeHandler, EdgeNext } from '../ports.ts';
import type { AdmittedRoute } from '../routing/public-route.ts';
import type { EdgeDeps } from './deps.ts';
import type { Rejection } from './rejection.ts';
import { clientAddressOf, EdgeRequestInfo } from './request-info.ts';

/** The share of a service's requests in flight that WebSocket handshakes may take. */
const handshakeShare = 0.5;

// A client that retries at once would be shed again. The problem is created once, because the stack of an error
// would cost more than the rest of shedding.
const overloaded = gatewayProblem('edge.overloaded', { retryAfterSeconds: 1 });

/** An admitted request, until its response. */
interface Visit {
  requestId: string;
  route: AdmittedRoute;
  /** Returns the admission slot. Called exactly once. */
  leave: () => void;
  /** Unix milliseconds; infinite when the client set no deadline. */
  deadlineMs: number;
}

export interface AdmittedHandlerDeps<Incoming, Outgoing> extends EdgeDeps {
  admission: Admission;
  responses: ResponseAdapter<Outgoing>;
  reject: Rejection<Outgoing>;
  next: EdgeNext<Incoming, Outgoing>;
  operations: EdgeHandler<Incoming, Outgoing>;
}

/**
 * The second half of the edge, for a request that is complete and whose route is known:
 *
 *     admission → token → rate limit → forward
 *
 * Each step returns at once where nothing has to be awaited.
 */
export function createAdmittedHandler<Incoming extends EdgeRequest, Outgoing>(
  deps: AdmittedHandlerDeps<Incoming, Outgoing>,
) {
  const { admission, verifier, clock, ids, responses, reject, next, operations } = deps;
  const { TRUSTED_PROXY_HOPS: trustedHops, UPSTREAM_TIMEOUT_MS: timeoutMs } = deps.settings;
  const limits = createClassLimits(deps.limits, deps.settings);
  const handshakesMax = Math.ceil(deps.settings.UPSTREAM_CONCURRENCY_MAX * handshakeShare);
  const forwardHandshake = limitHandshakes(handshakesMax, next);

  return function admit(
    request: Incoming,
    route: AdmittedRoute,
    deadlineMs: number,
  ): Outgoing | Promise<Outgoing> {
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
        .catch((error) => leaveAndReject(error, request, visit));
    } catch (error) {
      return leaveAndReject(error, request, visit);
    }
  };

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
      .catch((error) => leaveAndReject(error, request, visit));
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
    const forwardTo = limitClass === 'realtime' ? forwardHandshake : next;
    const response = route.owner === undefined ? operations(request) : forwardTo(request, info);
    if (!(response instanceof Promise)) return addRateLimitHeaders(response);
    return response.then(addRateLimitHeaders, (error) => leaveAndReject(error, request, visit));
  }

  function leaveAndReject(error: unknown, { path }: Incoming, { leave, requestId }: Visit): Outgoing {
    leave();
    return reject(error, path, requestId);
  }
}
