import { TripRecord } from '@contracts/operators.ts';
import { LoginSession } from '@contracts/people.ts';
import { systemClock } from '@platform/clock.ts';
import { Value } from '@sinclair/typebox/value';
import type { City } from '../city/index.ts';
import type { FaultTarget, HealFault } from './fault.ts';
import type { TestBed } from './test-bed.ts';

// Faults of a driver during a trip. Only one at a time, because each needs other drivers who can take over.

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

/** Bans the driver and later lifts the ban. Before the ride begins the rider gets another driver; a ride in progress continues. */
async function banDriver(testBed: TestBed, city: City): Promise<HealFault | undefined> {
  const [target] = city.driversOnTrip();
  if (target === undefined) return undefined;
  const operator = createOperator(testBed);
  const person = `/v1/ops/people/${target.driverId}`;
  await operator.requestUntilAnswered('POST', `${person}/ban`, { reason });
  return async () => {
    await operator.requestUntilAnswered('POST', `${person}/unban`, { reason });
  };
}

/** The driver never sends anything again. Later an operator reassigns the trip, or completes it when it is in progress. */
async function silenceDriver(testBed: TestBed, city: City): Promise<HealFault | undefined> {
  const [target] = city.driversOnTrip();
  if (target === undefined) return undefined;
  city.disconnectDriver(target.driverId);
  const operator = createOperator(testBed);
  const trip = `/v1/ops/trips/${target.tripId}`;
  return async () => {
    for (;;) {
      const record = Value.Parse(TripRecord, await operator.requestUntilAnswered('GET', trip)).trip;
      if (record.driverId !== target.driverId) return;
      if (record.status === 'in_progress')
        await operator.requestUntilAnswered('POST', `${trip}/complete`, { reason });
      else if (record.status === 'assigned' || record.status === 'arrived')
        await operator.requestUntilAnswered('POST', `${trip}/hand-over`, { reason });
      else return;
    }
  };
}

const timeoutMs = 60_000;
const retryPauseMs = 300;
const callTimeoutMs = 5_000;

/** The operator of the test bed, who repeats requests while other faults make them fail. */
function createOperator({ url, operator: { email, password } }: TestBed) {
  let token = '';

  return {
    /** Resolves to the answer, or to undefined for a conflict, after which the caller reads again. */
    async requestUntilAnswered(method: string, path: string, body?: object): Promise<unknown> {
      const untilMs = systemClock.nowMs() + timeoutMs;
      for (;;) {
        const answer = await call(method, path, body).catch(() => undefined);
        if (answer?.ok) return answer.json();
        if (answer?.status === 409) return undefined;
        if (systemClock.nowMs() > untilMs)
          throw new Error(
            `${method} ${path} was answered ${answer?.status ?? 'not at all'} for ${timeoutMs} ms`,
          );
        if (answer === undefined || answer.status === 401) await logIn().catch(() => undefined);
        await systemClock.sleep(retryPauseMs);
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
