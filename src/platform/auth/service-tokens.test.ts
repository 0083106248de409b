import { expect, test } from 'bun:test';
import { headers } from '@contracts/common.ts';
import { Elysia } from 'elysia';
import { createManualClock } from '../clock.ts';
import { createServiceCredentials, createServiceGuard } from './service-tokens.ts';

const [secret, previous, unknown] = ['n', 'o', 'f'].map((letter) => letter.repeat(32));
const startMs = Date.UTC(2026, 10, 22, 8);

function start({ secrets = secret ?? '', skewMs = 0 } = {}) {
  const clock = createManualClock(startMs);
  const driver = createServiceGuard({ secret: secrets, service: 'driver', clock });
  const app = new Elysia().use(driver).get('/internal', () => 'in', { service: true });
  const call = async (token?: string) => {
    const sent = token === undefined ? {} : { [headers.serviceToken]: token };
    const response = await app.handle(new Request('http://localhost/internal', { headers: sent }));
    return response.status === 200 ? 'in' : 'out';
  };
  const callers = createManualClock(startMs + skewMs);
  const trip = (signing = secret ?? '') =>
    createServiceCredentials({ secret: signing, service: 'trip', clock: callers });
  return { clock, callers, call, trip };
}

test('a service is admitted repeatedly as time passes', async () => {
  const { clock, callers, call, trip } = start();
  const credentials = trip();
  for (let n = 0; n < 20; n++) {
    expect(await call(credentials.tokenFor('driver'))).toBe('in');
    await Promise.all([clock.advance(37_000), callers.advance(37_000)]);
  }
});

test('the clocks of two services may differ by a minute', async () => {
  for (const skewMs of [-50_000, 50_000]) {
    const { call, trip } = start({ skewMs });
    expect(await call(trip().tokenFor('driver'))).toBe('in');
  }
  const { call, trip } = start({ skewMs: 600_000 });
  expect(await call(trip().tokenFor('driver'))).toBe('out');
});

test('a stolen token is valid for minutes, and at one service', async () => {
  const { clock, call, trip } = start();
  const stolen = trip().tokenFor('driver');
  expect(await call(stolen)).toBe('in');
  await clock.advance(181_000);
  expect(await call(stolen)).toBe('out');
  expect(await start().call(trip().tokenFor('payment'))).toBe('out');
});

test('everything else is rejected: the secret itself, other names or times with the same signature, other secrets', async () => {
  const { call, trip } = start();
  const token = trip().tokenFor('driver');
  const [from = '', until = '', mac = ''] = token.split('.');
  const invalidTokens = [
    undefined,
    '',
    secret,
    token.toUpperCase(),
    `${token}A`,
    `${token}, ${token}`,
    `payment.${until}.${mac}`,
    `${from}.${Number(until) + 1}.${mac}`,
    `${from}.${until}.${'A'.repeat(43)}`,
    `${from}.${until}.`,
    `.${until}.${mac}`,
    'x'.repeat(100_000),
    trip(unknown).tokenFor('driver'),
  ];
  for (const invalid of invalidTokens)
    expect([invalid?.slice(0, 60), await call(invalid)]).toEqual([invalid?.slice(0, 60), 'out']);
});

test('the secret can be rotated while services run: the first one signs and each is accepted', async () => {
  const both = start({ secrets: `${secret},${previous}` });
  expect(await both.call(both.trip(previous).tokenFor('driver'))).toBe('in');
  expect(await both.call(both.trip(`${secret},${previous}`).tokenFor('driver'))).toBe('in');
  const after = start();
  expect(await after.call(after.trip(`${secret},${previous}`).tokenFor('driver'))).toBe('in');
  expect(await after.call(after.trip(previous).tokenFor('driver'))).toBe('out');
});
