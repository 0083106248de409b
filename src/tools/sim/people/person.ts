import { headers } from '@contracts/common.ts';
import type { Role } from '@contracts/people.ts';
import type { Clock } from '@platform/clock.ts';
import { createIds } from '@platform/ids.ts';
import type { Random } from '@platform/random.ts';
import { createNamedRandom } from '../faults.ts';
import type { ClientAction, RunHistory } from '../history.ts';
import { tokenOf } from '../login-sessions.ts';
import type { Scope } from '../scheduler.ts';
import type { SimWorld } from '../world.ts';

export interface ClientResponse {
  status: number;
  code: string | undefined;
  text: string;
  json: Record<string, unknown>;
}

export interface ClientRequestOptions {
  body?: unknown;
  key?: string;
  /** Recorded in the history of attempted and acknowledged actions. */
  action?: ClientAction;
}

/** A user of the system, who repeats a request when no answer arrives. */
export interface SimPerson {
  id: string;
  role: Role;
  scope: Scope;
  clock: Clock;
  random: Random;
  world: SimWorld;
  history: RunHistory;
  /** The number of the present login session. */
  loginNumber: number;
  newKey(): string;
  /** Sends the request once; undefined when no answer arrived. */
  request(method: string, path: string, options?: ClientRequestOptions): Promise<ClientResponse | undefined>;
  /** Repeats the request until it is answered, other than with 429 or 5xx. */
  requestUntilAnswered(method: string, path: string, options?: ClientRequestOptions): Promise<ClientResponse>;
  pause(minMs: number, maxMs: number): Promise<void>;
  isLikely(probability: number): boolean;
}

const requestTimeoutMs = 10_000;
const retryPauseMs = { min: 400, max: 2_500 };

const serviceOf = (path: string): string => {
  if (/^\/v1\/(quotes|payment-methods|payments)|\/receipt$|\/earnings$/.test(path)) return 'payment';
  if (path.startsWith('/v1/drivers')) return 'driver';
  return path.startsWith('/v1/realtime') ? 'notification' : 'trip';
};

export function createSimPerson(world: SimWorld, role: Role, name: string, history: RunHistory): SimPerson {
  const { scheduler, network } = world;
  const scope = scheduler.createScope(name);
  const clock = scheduler.createClock(scope);
  const random = createNamedRandom(world.seed, name);
  const ids = createIds(clock, random);
  const id = ids<string>();

  async function send(
    method: string,
    path: string,
    { body, key, action }: ClientRequestOptions = {},
  ): Promise<ClientResponse | undefined> {
    const request = new Request(`http://edge${path}`, {
      method,
      headers: {
        authorization: `Bearer ${tokenOf(role, id, person.loginNumber)}`,
        ...(key === undefined ? {} : { [headers.idempotencyKey]: key }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (action !== undefined) history.recordAttempt(id, action);
    let response: Response;
    try {
      response = await network(request, {
        from: scope,
        service: serviceOf(path),
        kind: 'client',
        timeoutMs: requestTimeoutMs,
      });
    } catch {
      return undefined;
    }
    const text = await response.text();
    const json: Record<string, unknown> = text === '' ? {} : JSON.parse(text);
    const code = typeof json.code === 'string' ? json.code : undefined;
    if (response.status === 500) history.recordViolation(`500 to ${name}: ${method} ${path}`);
    if (action !== undefined && response.status < 300) history.recordAcknowledged(id, action, json);
    return { status: response.status, code, text, json };
  }

  const person: SimPerson = {
    id,
    loginNumber: 1,
    role,
    scope,
    clock,
    random,
    world,
    history,
    newKey: () => ids<string>(),
    request: send,
    async requestUntilAnswered(method, path, options) {
      for (;;) {
        const answer = await send(method, path, options);
        if (answer !== undefined && answer.status < 500 && answer.status !== 429) return answer;
        await clock.sleep(scheduler.randomBetween(retryPauseMs.min, retryPauseMs.max));
      }
    },
    pause: (minMs, maxMs) => clock.sleep(minMs + random.next() * (maxMs - minMs)),
    isLikely: (probability) => random.next() < probability,
  };
  return person;
}
