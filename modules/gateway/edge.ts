import { headers } from '@contracts/common.ts';
import { bearerToken } from '@platform/auth/guard.ts';
import type { Verifier } from '@platform/auth/verifier.ts';
import type { Clock } from '@platform/clock.ts';
import { fault as platformFault } from '@platform/faults.ts';
import type { Behind, Dialect, EdgeRequest, Entry } from '@platform/http/entry.ts';
import { toFault } from '@platform/http/problem.ts';
import type { Ids } from '@platform/ids.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { createAdmission } from './admission/admission.ts';
import { fault } from './errors.ts';
import type { LimitPolicy, RateLimits } from './limits/limits.ts';
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

/** Answers a request: at once where it can, since waiting costs. */
export type Answers<Asked, Answer> = (request: Asked) => Answer | Promise<Answer>;

export interface Edge<Asked, Answer> {
  handle: Answers<Asked, Answer>;
  /** Watch over the load; without them nothing is ever shed. */
  workers: Worker[];
}

/** What outsiders may not say of the way that a request came, nor of who they are: `behind` never sees it. */
export const saidByUs: readonly string[] = [
  headers.serviceToken,
  headers.deadline,
  headers.requestId,
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-port',
  'x-real-ip',
];

/**
 * The public door, in front of either the contexts themselves (one process) or the proxy to them
 * (fleet): what can't be served in time is shed, the token is verified, the limit is taken, and only then
 * `behind` is asked. Paths that nobody owns go to `operations`. At once where nobody has to be waited for.
 */
export function createEdge<Asked extends EdgeRequest, Answer>(
  options: EdgeOptions,
  dialect: Dialect<Answer>,
  behind: Behind<Asked, Answer>,
  operations: Answers<Asked, Answer>,
): Edge<Asked, Answer> {
  const { verifier, limits, metrics, log, ids } = options;
  const admission = createAdmission(options);
  const policies = policiesOf(options.settings);
  const trustedHops = options.settings.TRUSTED_PROXY_HOPS;

  return {
    handle(request) {
      const { path } = request;
      if (ownerOf(path) === undefined) return operations(request);
      const limitClass = classOf(request.method, path);
      const requestId = ids<string>();
      const leave = admission.enter(priorityOf(path, limitClass), limitClass !== 'auth');
      if (leave === undefined) return refuse(overloaded, path, requestId);
      const refused = (error: unknown) => {
        leave();
        return refuse(error, path, requestId);
      };
      try {
        const address = () => clientAddress(request, trustedHops);
        const answered = needsToken(path)
          ? andThen(verifier.verify(bearerToken(request.header('authorization'))), (person) =>
              enter(request, { requestId, address, person }, limitClass, person.id, leave),
            )
          : enter(request, { requestId, address, person: undefined }, limitClass, address(), leave);
        return answered instanceof Promise ? answered.catch(refused) : answered;
      } catch (error) {
        return refused(error);
      }
    },

    workers: [admission],
  };

  /** Takes one of the owner's limit, asks behind, and tells of the limit on the answer. Throws `limit.exceeded`. */
  function enter(
    request: Asked,
    entry: Entry,
    limitClass: RouteClass,
    owner: string,
    leave: () => void,
  ): Answer | Promise<Answer> {
    const policy = policies[limitClass];
    return andThen(limits.take(`${limitClass}:${owner}`, policy), (decision) => {
      if (!decision.allowed) throw fault('limit.exceeded', { retryAfterSeconds: decision.waitMs / 1000 });
      return andThen(behind(request, entry), (answer) => {
        leave();
        const left = `"${limitClass}";r=${decision.remaining};t=${Math.ceil(decision.waitMs / 1000)}`;
        dialect.tellLimit(answer, policy.text, left);
        return answer;
      });
    });
  }

  function refuse(error: unknown, path: string, requestId: string): Answer {
    const shown = toFault(error);
    metrics.count('edge_refused_total', { code: shown.code });
    if (shown.kind === 'internal') log.error({ requestId, path, err: error }, 'edge failed');
    return dialect.problem(shown, requestId);
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

/** Routes of the edge itself that outsiders may not see: only this machine, or an operator's token. */
export function guardOperations<Asked extends EdgeRequest, Answer>(
  verifier: Verifier,
  dialect: Dialect<Answer>,
  operations: Answers<Asked, Answer>,
): Answers<Asked, Answer> {
  return async (request) => {
    if (request.path !== '/metrics' || isLoopback(request.peerAddress)) return operations(request);
    try {
      const person = await verifier.verify(bearerToken(request.header('authorization')));
      if (person.role !== 'ops') throw platformFault('auth.role_forbidden');
      return await operations(request);
    } catch (error) {
      return dialect.problem(toFault(error), undefined);
    }
  };
}

const isLoopback = (address: string) =>
  address === '::1' || address.replace('::ffff:', '').startsWith('127.');

/** The peer's address, or what the outermost proxy of ours wrote: never what the client claims. */
export function clientAddress(request: EdgeRequest, trustedHops: number): string {
  if (trustedHops === 0) return request.peerAddress;
  const hops = (request.header('x-forwarded-for') ?? '').split(',').map((hop) => hop.trim());
  const told = hops.at(-trustedHops);
  return told !== undefined && addressPattern.test(told) ? told : request.peerAddress;
}

// It goes into a header line of ours.
const addressPattern = /^[\w.:%[\]-]{1,64}$/;

/** A limit, and how it is told (draft-ietf-httpapi-ratelimit-headers). */
type ToldPolicy = LimitPolicy & { text: string };

function policiesOf(settings: GatewaySettings): Record<RouteClass, ToldPolicy> {
  const perMinute = (name: RouteClass, quota: number): ToldPolicy => ({
    quota,
    windowMs: 60_000,
    text: `"${name}";q=${quota};w=60`,
  });
  return {
    auth: perMinute('auth', settings.LIMIT_AUTH_PER_MINUTE),
    position: perMinute('position', settings.LIMIT_POSITION_PER_MINUTE),
    read: perMinute('read', settings.LIMIT_READ_PER_MINUTE),
    write: perMinute('write', settings.LIMIT_WRITE_PER_MINUTE),
    realtime: perMinute('realtime', settings.LIMIT_REALTIME_PER_MINUTE),
  };
}
