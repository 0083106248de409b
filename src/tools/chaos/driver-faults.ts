import { TripRecord } from '@contracts/operators.ts';
import { LoginSession } from '@contracts/people.ts';
import { systemClock } from '@platform/clock.ts';
import { Value } from '@sinclair/typebox/value';
import type { City } from '../city/index.ts';
import type { FaultTarget, HealFault } from './fault-kinds.ts';
import type { TestBed } from './test-bed.ts';

// What befalls a driver in the middle of a ride. No two of these at once: each needs riders who still have a choice.

export const bannedDriver: FaultTarget = {
  name: 'a driver on a trip',
  resource: 'driver',
  inject: banDriver,
};
export const silentDriver: FaultTarget = {
  name: 'a driver on a trip',
  resource: 'driver',
  inject: silenceDriver,
};

const reason = 'a fault of the chaos campaign';

/** The driver's sessions end: before the ride the rider gets another one, during it the ride goes on. Then they are let in again. */
async function banDriver(stand: TestBed, city: City): Promise<HealFault | undefined> {
  const [victim] = city.driversOnTrip();
  if (victim === undefined) return undefined;
  const operator = createOperator(stand);
  const person = `/v1/ops/people/${victim.driverId}`;
  await operator.insist('POST', `${person}/ban`, { reason });
  return async () => {
    await operator.insist('POST', `${person}/unban`, { reason });
  };
}

/** The driver never sends anything again. An operator ends the matter: another driver before the ride, its end in it. */
async function silenceDriver(stand: TestBed, city: City): Promise<HealFault | undefined> {
  const [victim] = city.driversOnTrip();
  if (victim === undefined) return undefined;
  city.disconnectDriver(victim.driverId);
  const operator = createOperator(stand);
  const trip = `/v1/ops/trips/${victim.tripId}`;
  return async () => {
    for (;;) {
      const record = Value.Parse(TripRecord, await operator.insist('GET', trip)).trip;
      if (record.driverId !== victim.driverId) return;
      if (record.status === 'in_progress') await operator.insist('POST', `${trip}/complete`, { reason });
      else if (record.status === 'assigned' || record.status === 'arrived')
        await operator.insist('POST', `${trip}/hand-over`, { reason });
      else return;
    }
  };
}

const patienceMs = 60_000;
const pauseMs = 300;
const callTimeoutMs = 5_000;

/** The operator of the stand, who asks again while other faults stand in the way. */
function createOperator({ url, operator: { email, password } }: TestBed) {
  let token = '';

  return {
    /** The answer; undefined for a conflict, which its caller finds out about by reading again. */
    async insist(method: string, path: string, body?: object): Promise<unknown> {
      const untilMs = systemClock.nowMs() + patienceMs;
      for (;;) {
        const answer = await call(method, path, body).catch(() => undefined);
        if (answer?.ok) return answer.json();
        if (answer?.status === 409) return undefined;
        if (systemClock.nowMs() > untilMs)
          throw new Error(
            `${method} ${path} was answered ${answer?.status ?? 'not at all'} for ${patienceMs} ms`,
          );
        if (answer === undefined || answer.status === 401) await logIn().catch(() => undefined);
        await systemClock.sleep(pauseMs);
      }
    },
  };

  async function logIn(): Promise<void> {
    const answer = await call('POST', '/v1/auth/login', { email, password });
    const session: unknown = await answer.json();
    token = Value.Check(LoginSession, session) ? session.tokens.accessToken : '';
  }

  function call(method: string, path: string, body?: object): Promise<Response> {
    return fetch(`${url}${path}`, {
      method,
      headers: {
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(callTimeoutMs),
    });
  }
}
