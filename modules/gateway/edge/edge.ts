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
import { problem as platformFault } from '@platform/problems.ts';
import { createAdmission } from '../admission/admission.ts';
import { limitHandshakes } from '../admission/handshakes.ts';
import { fault } from '../errors.ts';
import type { LimitDecision, RateLimiter, RateLimits } from '../limits/limits.ts';
import type { EdgeRouter } from '../routing/router.ts';
import type { AdmittedRoute, LimitClass } from '../routing/routes.ts';
import type { GatewaySettings } from '../settings.ts';
import { createCors } from './cors.ts';
import { clientAddressOf, type EdgeNext, EdgeRequestInfo } from './request-info.ts';

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

/** Answers a request: at once where it can, since waiting costs. */
export type EdgeHandler<Asked, Answer> = (request: Asked) => Answer | Promise<Answer>;

export interface Edge<Asked, Answer> {
  handle: EdgeHandler<Asked, Answer>;
  /** For answers to a request that the server gives by itself: adds what pages of other origins need to read them. */
  addCorsHeaders(request: Asked, answer: Answer): void;
  /** Watch over the load; without them nothing is ever shed. */
  workers: Worker[];
}

/**
 * A deadline that is nearer than this is taken for one that is so far away: work that is begun and thrown away
 * again and again must cost its caller no less than work that is not, and clocks differ.
 */
export const deadlineMsMin = 1_000;
/** Of the requests that may be in flight to a service, handshakes may be so many. */
const handshakeShare = 0.5;

/**
 * The public door, in front of either the contexts themselves (one process) or the proxy to them
 * (fleet): what can't be served in time is shed, the token is verified, the limit is taken, and only then
 * `behind` is asked. Routes of the process itself go to `operations`; a path that no route has, and a method that
 * the path does not have, are refused here. At once where nobody has to be waited for.
 */
export function createEdge<Asked extends EdgeRequest, Answer>(
  options: EdgeDeps,
  dialect: ResponseAdapter<Answer>,
  behind: EdgeNext<Asked, Answer>,
  operations: EdgeHandler<Asked, Answer>,
): Edge<Asked, Answer> {
  const { router, verifier, metrics, clock, log, ids } = options;
  const admission = createAdmission(options);
  const limits = createClassLimits(options.limits, options.settings);
  const { TRUSTED_PROXY_HOPS: trustedHops, UPSTREAM_TIMEOUT_MS: timeoutMs } = options.settings;
  const handshakesMax = Math.ceil(options.settings.UPSTREAM_CONCURRENCY_MAX * handshakeShare);
  const forwardHandshake = limitHandshakes(handshakesMax, behind);
  const origins = parseOrigins(options.settings.CORS_ORIGINS);
  const cors = createCors(origins, dialect, router, route);

  return { handle: cors.handle, addCorsHeaders: cors.addHeaders, workers: [admission] };

  function route(request: Asked): Answer | Promise<Answer> {
    const match = router.match(request.method, request.path);
    switch (match.kind) {
      case 'public':
        return take(request, match.route);
      case 'operation':
        return operations(request);
      case 'document':
        return take(request, documents);
      case 'options':
        return dialect.noContent([['allow', match.methods.join(', ')]]);
      case 'refused':
        return refuse(match.fault, request.path, ids<string>());
    }
  }

  function take(request: Asked, found: AdmittedRoute): Answer | Promise<Answer> {
    const nowMs = clock.nowMs();
    let deadlineMs: number;
    try {
      deadlineMs = Math.max(parseDeadline(request.header(headers.deadline), nowMs), nowMs + deadlineMsMin);
    } catch (error) {
      return refuse(error, request.path, ids<string>());
    }
    // Who sends slowly holds a connection, and no place of those whose requests are there.
    const coming = request.pendingBody();
    if (coming === undefined) return admit(request, found, deadlineMs);
    return coming.then(
      () => admit(request, found, deadlineMs),
      (error: unknown) => refuse(error, request.path, ids<string>()),
    );
  }

  function admit(request: Asked, route: AdmittedRoute, deadlineMs: number): Answer | Promise<Answer> {
    const requestId = ids<string>();
    const leave = admission.admit(route.priority, route.limitClass !== 'auth');
    if (leave === undefined) return refuse(overloaded, request.path, requestId);
    const visit: Visit = { requestId, leave, route, deadlineMs };
    try {
      if (!route.requiresToken) return enter(request, visit, undefined);
      const person = verifier.verify(bearerToken(request.header('authorization')));
      if (!(person instanceof Promise)) return enter(request, visit, person);
      return person
        .then((known) => enter(request, visit, known))
        .catch((error) => fail(error, request, visit));
    } catch (error) {
      return fail(error, request, visit);
    }
  }

  /** Takes one of the person's limit, or of the address', and goes on once it is known. */
  function enter(request: Asked, visit: Visit, person: Principal | undefined): Answer | Promise<Answer> {
    const { limitClass } = visit.route;
    const clientId = person?.id ?? networkOf(clientAddressOf(request, trustedHops));
    const decision = limits[limitClass].limiter.take(clientId);
    if (!(decision instanceof Promise)) return pass(request, visit, person, decision);
    return decision
      .then((known) => pass(request, visit, person, known))
      .catch((error) => fail(error, request, visit));
  }

  /** Asks behind, and tells of the limit on the answer: one promise for nearly all requests, since each costs. */
  function pass(
    request: Asked,
    visit: Visit,
    person: Principal | undefined,
    { isAllowed, remaining, waitMs }: LimitDecision,
  ): Answer | Promise<Answer> {
    const { route, leave, requestId, deadlineMs } = visit;
    const { limitClass } = route;
    const tell = (answer: Answer) => {
      leave();
      const left = `"${limitClass}";r=${remaining};t=${Math.ceil(waitMs / 1000)}`;
      dialect.addRateLimit(answer, limits[limitClass].policyText, left);
      return answer;
    };
    if (!isAllowed) {
      const exceeded = fault('limit.exceeded', { retryAfterSeconds: waitMs / 1000 });
      return tell(refuse(exceeded, request.path, requestId));
    }
    const nowMs = clock.nowMs();
    // Its body may have taken longer than its caller waits.
    if (deadlineMs <= nowMs) throw platformFault('request.deadline_passed');
    const dueMs = Math.min(deadlineMs, nowMs + timeoutMs);
    const entry = new EdgeRequestInfo(request, trustedHops, requestId, person, dueMs, route);
    const next = route === documents ? operations : limitClass === 'realtime' ? forwardHandshake : behind;
    const answered = next(request, entry);
    if (!(answered instanceof Promise)) return tell(answered);
    return answered.then(tell, (error) => fail(error, request, visit));
  }

  function fail(error: unknown, { path }: Asked, { leave, requestId }: Visit): Answer {
    leave();
    return refuse(error, path, requestId);
  }

  function refuse(error: unknown, path: string, requestId: string): Answer {
    const shown = toProblem(error);
    metrics.count('edge_refused_total', { code: shown.code });
    if (shown.kind === 'internal') log.error({ requestId, path, err: error }, 'edge failed');
    return dialect.problem(shown, requestId);
  }
}

// Clients that come back at once would find the same. Made once: an error's stack would cost more than the rest.
const overloaded = fault('edge.overloaded', { retryAfterSeconds: 1 });

/** Large, and open to everyone: limited by address, and shed first. */
const documents: AdmittedRoute = {
  owner: undefined,
  limitClass: 'document',
  priority: 4,
  requiresToken: false,
  repeatability: 'never',
};

/** A request that was let in, until it is answered. */
interface Visit {
  requestId: string;
  route: AdmittedRoute;
  /** Called once, at its end. */
  leave: () => void;
  /** Unix milliseconds; infinite where the client named none. */
  deadlineMs: number;
}

/** Routes of the edge itself that outsiders may not see: only this machine, or an operator's token. */
export function guardOperations<Asked extends EdgeRequest, Answer>(
  verifier: Verifier,
  dialect: ResponseAdapter<Answer>,
  operations: EdgeHandler<Asked, Answer>,
): EdgeHandler<Asked, Answer> {
  return async (request) => {
    if (request.path !== '/metrics' || isLoopback(request.peerAddress)) return operations(request);
    try {
      const person = await verifier.verify(bearerToken(request.header('authorization')));
      if (person.role !== 'ops') throw platformFault('auth.role_forbidden');
      return await operations(request);
    } catch (error) {
      return dialect.problem(toProblem(error), undefined);
    }
  };
}

const isLoopback = (address: string) =>
  address === '::1' || address.replace('::ffff:', '').startsWith('127.');

/** The limiter of a class, and its policy as the RateLimit-Policy header shows it (draft-ietf-httpapi-ratelimit-headers). */
interface ClassLimit {
  limiter: RateLimiter;
  policyText: string;
}

function createClassLimits(limits: RateLimits, settings: GatewaySettings): Record<LimitClass, ClassLimit> {
  const perMinute = (name: LimitClass, quota: number): ClassLimit => ({
    limiter: limits(name, { quota, windowMs: 60_000 }),
    policyText: `"${name}";q=${quota};w=60`,
  });
  return {
    auth: perMinute('auth', settings.LIMIT_AUTH_PER_MINUTE),
    position: perMinute('position', settings.LIMIT_POSITION_PER_MINUTE),
    read: perMinute('read', settings.LIMIT_READ_PER_MINUTE),
    write: perMinute('write', settings.LIMIT_WRITE_PER_MINUTE),
    realtime: perMinute('realtime', settings.LIMIT_REALTIME_PER_MINUTE),
    document: perMinute('document', settings.LIMIT_DOCUMENT_PER_MINUTE),
  };
}
