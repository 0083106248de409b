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
  /** Kept in the history of what people tried, and were told they had done. */
  action?: ClientAction;
}

/** Somebody with an app: asks, and asks again when no answer came. */
export interface SimPerson {
  id: string;
  role: Role;
  scope: Scope;
  clock: Clock;
  random: Random;
  world: SimWorld;
  history: RunHistory;
  /** Which login this is. */
  loginNumber: number;
  newKey(): string;
  /** Asked once; undefined when no answer came. */
  request(method: string, path: string, asked?: ClientRequestOptions): Promise<ClientResponse | undefined>;
  /** Asked until somebody says yes or no. */
  requestUntilAnswered(method: string, path: string, asked?: ClientRequestOptions): Promise<ClientResponse>;
  pause(leastMs: number, mostMs: number): Promise<void>;
  isLikely(share: number): boolean;
}

const requestTimeoutMs = 10_000;
const patienceMs = { least: 400, most: 2_500 };

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

  async function ask(
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
    request: ask,
    async requestUntilAnswered(method, path, asked) {
      for (;;) {
        const answer = await ask(method, path, asked);
        if (answer !== undefined && answer.status < 500 && answer.status !== 429) return answer;
        await clock.sleep(scheduler.randomBetween(patienceMs.least, patienceMs.most));
      }
    },
    pause: (leastMs, mostMs) => clock.sleep(leastMs + random.next() * (mostMs - leastMs)),
    isLikely: (share) => random.next() < share,
  };
  return person;
}
