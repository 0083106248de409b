import { expect, test } from 'bun:test';
import { headers } from '@contracts/common.ts';
import { Elysia } from 'elysia';
import { createManualClock } from '../clock.ts';
import { createServiceCredentials, createServiceGuard } from './service-tokens.ts';

const [secret, older, foreign] = ['n', 'o', 'f'].map((letter) => letter.repeat(32));
const startMs = Date.UTC(2026, 10, 22, 8);

function start({ secrets = secret ?? '', skewMs = 0 } = {}) {
  const clock = createManualClock(startMs);
  const driver = createServiceGuard({ secret: secrets, service: 'driver', clock });
  const app = new Elysia().use(driver).get('/internal', () => 'in', { service: true });
  const ask = async (token?: string) => {
    const sent = token === undefined ? {} : { [headers.serviceToken]: token };
    const response = await app.handle(new Request('http://localhost/internal', { headers: sent }));
    return response.status === 200 ? 'in' : 'out';
  };
  const callers = createManualClock(startMs + skewMs);
  const trip = (signing = secret ?? '') =>
    createServiceCredentials({ secret: signing, service: 'trip', clock: callers });
  return { clock, callers, ask, trip };
}

test('a service of ours gets in, again and again, whatever time goes by', async () => {
  const { clock, callers, ask, trip } = start();
  const credentials = trip();
  for (let n = 0; n < 20; n++) {
    expect(await ask(credentials.tokenFor('driver'))).toBe('in');
    await Promise.all([clock.advance(37_000), callers.advance(37_000)]);
  }
});

test('clocks may differ by a minute', async () => {
  for (const skewMs of [-50_000, 50_000]) {
    const { ask, trip } = start({ skewMs });
    expect(await ask(trip().tokenFor('driver'))).toBe('in');
  }
  const { ask, trip } = start({ skewMs: 600_000 });
  expect(await ask(trip().tokenFor('driver'))).toBe('out');
});

test('what was overheard is good for minutes, and at one service', async () => {
  const { clock, ask, trip } = start();
  const heard = trip().tokenFor('driver');
  expect(await ask(heard)).toBe('in');
  await clock.advance(181_000);
  expect(await ask(heard)).toBe('out');
  expect(await start().ask(trip().tokenFor('payment'))).toBe('out');
});

test('nothing else gets in: the secret itself, other names and times under the same signature, other secrets', async () => {
  const { ask, trip } = start();
  const token = trip().tokenFor('driver');
  const [from = '', until = '', mac = ''] = token.split('.');
  const wrong = [
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
    trip(foreign).tokenFor('driver'),
  ];
  for (const one of wrong) expect([one?.slice(0, 60), await ask(one)]).toEqual([one?.slice(0, 60), 'out']);
});

test('the secret changes while services run: the first signs, each is believed', async () => {
  const both = start({ secrets: `${secret},${older}` });
  expect(await both.ask(both.trip(older).tokenFor('driver'))).toBe('in');
  expect(await both.ask(both.trip(`${secret},${older}`).tokenFor('driver'))).toBe('in');
  const after = start();
  expect(await after.ask(after.trip(`${secret},${older}`).tokenFor('driver'))).toBe('in');
  expect(await after.ask(after.trip(older).tokenFor('driver'))).toBe('out');
});
