import { headers } from '@contracts/common.ts';
import { bearerToken } from '@platform/auth/guard.ts';
import type { Principal, Verifier } from '@platform/auth/verifier.ts';
import type { Clock } from '@platform/clock.ts';
import { fault as platformFault } from '@platform/faults.ts';
import type { Admit } from '@platform/http/hot.ts';
import { problemResponse, toFault } from '@platform/http/problem.ts';
import type { Fetch, Peers } from '@platform/http/server.ts';
import type { Ids } from '@platform/ids.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { createAdmission } from './admission/admission.ts';
import { fault } from './errors.ts';
import type { LimitDecision, LimitPolicy, RateLimits } from './limits/limits.ts';
import { classOf, needsToken, ownerOf, priorityOf, type RouteClass } from './routes.ts';
import type { GatewaySettings } from './settings.ts';

export interface EdgeOptions {
  verifier: Verifier;
  limits: RateLimits;
  settings: GatewaySettings;
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
}

type Tell = (response: Response) => void;

export interface Edge {
  /** Everything, but what the server finds by itself. */
  fetch: Fetch;
  /** The door for hot routes of this very process: the same checks, and nothing is written to the request. */
  admit: Admit;
  /** Watch over the load; without them nothing is ever shed. */
  workers: Worker[];
}

/**
 * The public door, in front of either the contexts themselves (one process) or the proxy to them
 * (fleet): what can't be served in time is shed, what outsiders may not say is taken off the request,
 * the token is verified, the limit is taken, and only then `next` is asked. Paths that nobody owns go
 * to `operations`.
 */
export function createEdge(options: EdgeOptions, next: Fetch, operations: Fetch): Edge {
  const { verifier, limits, metrics, log, ids } = options;
  const admission = createAdmission(options);
  const policies = policiesOf(options.settings);

  return {
    fetch(request, peers) {
      const { pathname } = new URL(request.url);
      if (ownerOf(pathname) === undefined) return operations(request, peers);
      const limitClass = classOf(request.method, pathname);
      const leave = admission.enter(priorityOf(pathname, limitClass), limitClass !== 'auth');
      const requestId = ids<string>();
      if (leave === undefined) return refuse(overloaded, request, requestId);
      const refused = (error: unknown) => {
        leave();
        return refuse(error, request, requestId);
      };
      const pass = (tell: Tell) =>
        andThen(next(request, peers), (response) => {
          tell(response);
          leave();
          return response;
        });
      try {
        const address = clientAddress(request, peers, options.settings.TRUSTED_PROXY_HOPS);
        prepare(request, requestId, address);
        const tell = needsToken(pathname)
          ? andThen(verifier.verify(bearerToken(request)), (person) => take(limitClass, person.id))
          : take(limitClass, address);
        const answered = andThen(tell, pass);
        return answered instanceof Promise ? answered.catch(refused) : answered;
      } catch (error) {
        return refused(error);
      }
    },

    admit(request) {
      const requestId = ids<string>();
      const leave = admission.enter(3, true);
      if (leave === undefined) return refuse(overloaded, request, requestId);
      const refused = (error: unknown) => {
        leave();
        return refuse(error, request, requestId);
      };
      const enter = (person: Principal) =>
        andThen(take('position', person.id), (tell) => ({
          person,
          requestId,
          tell(response: Response) {
            leave();
            tell(response);
          },
        }));
      try {
        const entered = andThen(verifier.verify(bearerToken(request)), enter);
        return entered instanceof Promise ? entered.catch(refused) : entered;
      } catch (error) {
        return refused(error);
      }
    },

    workers: [admission],
  };

  /** Takes one of the limit, and gives what to tell of it on the answer. Throws `limit.exceeded`. */
  function take(limitClass: RouteClass, owner: string): Tell | Promise<Tell> {
    const policy = policies[limitClass];
    return andThen(limits.take(`${limitClass}:${owner}`, policy), (decision) => {
      if (!decision.allowed) throw fault('limit.exceeded', { retryAfterSeconds: decision.waitMs / 1000 });
      return (response) => tellLimit(response, limitClass, policy, decision);
    });
  }

  function refuse(error: unknown, request: Request, requestId: string): Response {
    const shown = toFault(error);
    metrics.count('edge_refused_total', { code: shown.code });
    const path = () => new URL(request.url).pathname;
    if (shown.kind === 'internal') log.error({ requestId, path: path(), err: error }, 'edge failed');
    return problemResponse(shown, requestId);
  }
}

// Clients that come back at once would find the same. Made once: an error's stack would cost more than the rest.
const overloaded = fault('edge.overloaded', { retryAfterSeconds: 1 });

/** What comes of a value that is there already in most cases: then nothing is waited for. */
function andThen<Value, Next>(
  value: Value | Promise<Value>,
  next: (value: Value) => Next | Promise<Next>,
): Next | Promise<Next> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** Headers that only we may set are taken off; the address that we believe is put in. */
function prepare(request: Request, requestId: string, address: string): void {
  // Two that were sent come joined. Whoever reads us behind another may have believed the other one.
  if (request.headers.get('host')?.includes(','))
    throw platformFault('request.invalid', { detail: 'one host' });
  request.headers.delete(headers.serviceToken);
  request.headers.delete('forwarded');
  request.headers.set(headers.requestId, requestId);
  request.headers.set('x-forwarded-for', address);
}

/** Routes of the edge itself that outsiders may not see: only this machine, or an operator's token. */
export function guardOperations(verifier: Verifier, operations: Fetch): Fetch {
  return async (request, peers) => {
    if (new URL(request.url).pathname !== '/metrics' || isLoopback(peers.addressOf(request)))
      return operations(request, peers);
    try {
      const person = await verifier.verify(bearerToken(request));
      if (person.role !== 'ops') throw platformFault('auth.role_forbidden');
      return await operations(request, peers);
    } catch (error) {
      return problemResponse(toFault(error), undefined);
    }
  };
}

const isLoopback = (address: string) =>
  address === '::1' || address.replace('::ffff:', '').startsWith('127.');

/** The peer's address, or what the outermost proxy of ours wrote: never what the client claims. */
export function clientAddress(request: Request, peers: Peers, trustedHops: number): string {
  const peer = peers.addressOf(request);
  if (trustedHops === 0) return peer;
  const hops = (request.headers.get('x-forwarded-for') ?? '').split(',').map((hop) => hop.trim());
  return hops.at(-trustedHops) || peer;
}

/** draft-ietf-httpapi-ratelimit-headers. */
function tellLimit(
  response: Response,
  name: RouteClass,
  { quota, windowMs }: LimitPolicy,
  decision: LimitDecision,
) {
  response.headers.set('ratelimit-policy', `"${name}";q=${quota};w=${windowMs / 1000}`);
  response.headers.set(
    'ratelimit',
    `"${name}";r=${decision.remaining};t=${Math.ceil(decision.waitMs / 1000)}`,
  );
}

function policiesOf(settings: GatewaySettings): Record<RouteClass, LimitPolicy> {
  const perMinute = (quota: number): LimitPolicy => ({ quota, windowMs: 60_000 });
  return {
    auth: perMinute(settings.LIMIT_AUTH_PER_MINUTE),
    position: perMinute(settings.LIMIT_POSITION_PER_MINUTE),
    read: perMinute(settings.LIMIT_READ_PER_MINUTE),
    write: perMinute(settings.LIMIT_WRITE_PER_MINUTE),
    realtime: perMinute(settings.LIMIT_REALTIME_PER_MINUTE),
  };
}
