import { headers } from '@contracts/common.ts';
import type { Role } from '@contracts/people.ts';
import type { Clock } from '@platform/clock.ts';
import { createIds } from '@platform/ids.ts';
import type { Random } from '@platform/random.ts';
import { randomFor } from '../faults.ts';
import type { Action, History } from '../history.ts';
import type { Scope } from '../scheduler.ts';
import { tokenOf } from '../sessions.ts';
import type { World } from '../world.ts';

export interface Answer {
  status: number;
  code: string | undefined;
  text: string;
  json: Record<string, unknown>;
}

export interface Asked {
  body?: unknown;
  key?: string;
  /** Kept in the history of what people tried, and were told they had done. */
  action?: Action;
}

/** Somebody with an app: asks, and asks again when no answer came. */
export interface Person {
  id: string;
  role: Role;
  scope: Scope;
  clock: Clock;
  random: Random;
  world: World;
  history: History;
  /** Which login this is. */
  session: number;
  newKey(): string;
  /** Asked once; undefined when no answer came. */
  ask(method: string, path: string, asked?: Asked): Promise<Answer | undefined>;
  /** Asked until somebody says yes or no. */
  insist(method: string, path: string, asked?: Asked): Promise<Answer>;
  pause(leastMs: number, mostMs: number): Promise<void>;
  chance(share: number): boolean;
}

const requestTimeoutMs = 10_000;
const patienceMs = { least: 400, most: 2_500 };

const serviceOf = (path: string): string => {
  if (/^\/v1\/(quotes|payment-methods|payments)|\/receipt$|\/earnings$/.test(path)) return 'payment';
  if (path.startsWith('/v1/drivers')) return 'driver';
  return path.startsWith('/v1/realtime') ? 'notification' : 'trip';
};

export function createPerson(world: World, role: Role, name: string, history: History): Person {
  const { scheduler, network } = world;
  const scope = scheduler.scope(name);
  const clock = scheduler.clock(scope);
  const random = randomFor(world.seed, name);
  const ids = createIds(clock, random);
  const id = ids<string>();

  async function ask(
    method: string,
    path: string,
    { body, key, action }: Asked = {},
  ): Promise<Answer | undefined> {
    const request = new Request(`http://edge${path}`, {
      method,
      headers: {
        authorization: `Bearer ${tokenOf(role, id, person.session)}`,
        ...(key === undefined ? {} : { [headers.idempotencyKey]: key }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (action !== undefined) history.tried(id, action);
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
    if (response.status === 500) history.violation(`500 to ${name}: ${method} ${path}`);
    if (action !== undefined && response.status < 300) history.acknowledged(id, action, json);
    return { status: response.status, code, text, json };
  }

  const person: Person = {
    id,
    session: 1,
    role,
    scope,
    clock,
    random,
    world,
    history,
    newKey: () => ids<string>(),
    ask,
    async insist(method, path, asked) {
      for (;;) {
        const answer = await ask(method, path, asked);
        if (answer !== undefined && answer.status < 500 && answer.status !== 429) return answer;
        await clock.sleep(scheduler.between(patienceMs.least, patienceMs.most));
      }
    },
    pause: (leastMs, mostMs) => clock.sleep(leastMs + random.next() * (mostMs - leastMs)),
    chance: (share) => random.next() < share,
  };
  return person;
}
