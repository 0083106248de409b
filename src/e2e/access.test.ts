import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { Quote } from '@contracts/payments.ts';
import type { LoginSession, Role } from '@contracts/people.ts';
import type { Trip } from '@contracts/trips.ts';
import type { RouteAccess } from '@platform/auth/route-access.ts';
import { createServiceCredentials } from '@platform/auth/service-tokens.ts';
import { systemClock } from '@platform/clock.ts';
import {
  type ApiClient,
  type ApiResponse,
  createApiClient,
  expectStatus,
  type PersonClient,
  signUp,
  signUpDriver,
  signUpRider,
} from '@testing/people.ts';
import { type RunningServices, startServices } from '@testing/services.ts';
import { opsEmail, opsPassword } from '@testing/topologies.ts';
import { until } from '@testing/until.ts';

// Who may call what: every route of every service, internal ones too, as the services themselves list
// them (a service does not start with a route that does not say who may call it).

const startTimeoutMs = 60_000;
const someId = '01a20438-5328-7000-be00-93adcfa25034';
const names = ['user', 'driver', 'payment', 'trip', 'notification', 'gateway'] as const;
const roles = ['rider', 'driver', 'ops'] as const;

let running: RunningServices;
let tokens: Record<Role, string>;
let ops: ApiClient;

beforeAll(async () => {
  running = await startServices();
  const { url } = running.services.gateway;
  const login = await createApiClient(url).request<LoginSession>('POST', '/v1/auth/login', {
    body: { email: opsEmail, password: opsPassword },
  });
  const [rider, driver] = [await signUp(url, 'rider'), await signUp(url, 'driver')];
  tokens = {
    rider: rider.session.tokens.accessToken,
    driver: driver.session.tokens.accessToken,
    ops: login.body.tokens.accessToken,
  };
  ops = createApiClient(url, tokens.ops);
}, startTimeoutMs);
afterAll(() => running?.stop(), startTimeoutMs);

/** A call without what the route needs beside who calls: it changes nothing, whoever is let in. */
async function call(url: string, { method, path }: RouteAccess, headers: Record<string, string> = {}) {
  const filled = path.replace(/:\w+/g, someId).replace(/(.)\/$/, '$1');
  const response = await fetch(`${url}${filled}`, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...(method === 'GET' ? {} : { body: '{}' }),
  });
  const text = await response.text();
  const isProblem = response.headers.get('content-type') === 'application/problem+json';
  return { status: response.status, code: isProblem ? String(JSON.parse(text).code) : undefined };
}
const bearer = (role: Role) => ({ authorization: `Bearer ${tokens[role]}` });
const service = (to: string) => ({
  'x-service-token': createServiceCredentials({
    secret: running.serviceSecret,
    service: 'test',
    clock: systemClock,
  }).tokenFor(to),
});
const told = ({ method, path }: RouteAccess, by: string) => `${method} ${path} by ${by}`;
const isLetIn = ({ status }: { status: number }) => status !== 401 && status !== 403;

describe.each(names)('the %s service', (name) => {
  const access = () => running.services[name].access;
  const url = () => running.services[name].url;

  test('nobody without a token gets in, but where a route is open to all', async () => {
    for (const route of access()) {
      const answer = await call(url(), route);
      const by = told(route, 'nobody');
      if (route.roles.length === 0) expect([by, isLetIn(answer)]).toEqual([by, true]);
      else if (route.roles.includes('service'))
        expect([by, answer]).toEqual([by, { status: 403, code: 'auth.service_forbidden' }]);
      else expect([by, answer]).toEqual([by, { status: 401, code: 'auth.token_missing' }]);
    }
  });

  test.each(roles)('a %s gets in where the role is named, and nowhere else', async (role) => {
    for (const route of access().filter(({ roles }) => roles.length > 0)) {
      const answer = await call(url(), route, bearer(role));
      const by = told(route, role);
      if (route.roles.includes(role)) expect([by, isLetIn(answer)]).toEqual([by, true]);
      else expect([by, answer.status]).toEqual([by, 403]);
    }
  });

  test('a service gets in at the internal routes alone, and only as a service', async () => {
    for (const route of access().filter(({ roles }) => roles.length > 0)) {
      const by = told(route, 'service');
      const isInternal = route.roles.includes('service');
      expect([by, isInternal]).toEqual([by, route.path.startsWith('/internal/')]);
      expect([by, isLetIn(await call(url(), route, service(name)))]).toEqual([by, isInternal]);
      for (const wrong of [
        '',
        'x',
        'x'.repeat(32),
        running.serviceSecret,
        ...Object.values(service('another')),
        tokens.ops,
      ])
        expect([by, isLetIn(await call(url(), route, { 'x-service-token': wrong }))]).toEqual([by, false]);
    }
  });
});

test('open to all are sign-in, the key set, the handshake of the socket, the API’s pages and health, and no more', () => {
  const open = Object.values(running.services)
    .flatMap(({ access }) => access)
    .filter(({ roles }) => roles.length === 0)
    .map(({ method, path }) => `${method} ${path.replace(/(.)\/$/, '$1')}`);
  expect([...new Set(open)].sort()).toEqual([
    'GET /.well-known/jwks.json',
    'GET /asyncapi.json',
    'GET /healthz',
    'GET /metrics',
    'GET /openapi',
    'GET /openapi/json',
    'GET /openapi/swagger-ui.css',
    'GET /openapi/swagger-ui.js',
    'GET /readyz',
    'GET /v1/realtime',
    'POST /v1/auth/login',
    'POST /v1/auth/logout',
    'POST /v1/auth/refresh',
    'POST /v1/auth/register',
  ]);
});

test('internal routes do not exist at the edge, also not for a service', async () => {
  const { gateway, ...behind } = running.services;
  const internal = Object.values(behind)
    .flatMap(({ access }) => access)
    .filter(({ path }) => path.startsWith('/internal/'));
  expect(internal.length).toBeGreaterThanOrEqual(6);
  for (const route of internal) {
    const known = service(route.path.split('/')[2] ?? '');
    for (const headers of [known, { ...known, ...bearer('ops') }]) {
      const answer = await call(gateway.url, route, headers);
      expect([route.path, answer]).toEqual([route.path, { status: 404, code: 'request.not_found' }]);
    }
  }
});

test('a ban reaches the edge, every service and live connections within seconds', async () => {
  const { url } = running.services.gateway;
  const person = await signUp(url, 'driver');
  const { accessToken } = person.session.tokens;
  const places = [
    ['gateway', '/v1/users/me'],
    ['user', '/v1/users/me'],
    ['driver', '/v1/drivers/nearby?lat=10&lng=106'],
    ['trip', '/v1/trips'],
    ['payment', '/v1/drivers/me/earnings'],
  ] as const;
  const ask = ([name, path]: (typeof places)[number]) =>
    createApiClient(running.services[name].url, accessToken).request('GET', path);
  for (const place of places) expect([place, (await ask(place)).status]).toEqual([place, 200]);
  const ticket = await person.request<{ ticket: string }>('POST', '/v1/realtime/ticket');
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/realtime?ticket=${ticket.body.ticket}`);
  const closed = new Promise<number>((resolve) => {
    socket.onclose = ({ code }) => resolve(code);
  });
  await new Promise((resolve) => {
    socket.onmessage = resolve;
  });
  const body = { reason: 'to see that it works' };
  await expectStatus(200, ops.request('POST', `/v1/ops/people/${person.id}/ban`, { body }));
  const bannedAtMs = performance.now();
  for (const place of places) {
    await until(async () => (await ask(place)).code === 'auth.token_revoked', {
      describe: `${place[0]} to refuse the token`,
      timeoutMs: 15_000,
    });
  }
  expect(await closed).toBe(4401);
  expect(performance.now() - bannedAtMs).toBeLessThan(20_000);
});

describe('what belongs to somebody else', () => {
  let owner: PersonClient;
  let strangers: Record<Role, ApiClient>;
  let tripId: string;
  let paymentId: string;
  const pickup = { lat: 10.7769, lng: 106.7009 };

  beforeAll(async () => {
    const { url } = running.services.gateway;
    owner = await signUpRider(url);
    const driver = await signUpDriver(url, pickup);
    [tripId, paymentId] = await ride(owner, driver);
    strangers = { rider: await signUpRider(url), driver: await signUpDriver(url, pickup), ops };
  }, startTimeoutMs);

  /** A whole ride, so that there is a trip, a payment and a receipt. */
  async function ride(rider: PersonClient, driver: PersonClient): Promise<[string, string]> {
    const quoted = { pickup, dropoff: { lat: 10.8231, lng: 106.6297 }, product: 'car' };
    const quote = await expectStatus(201, rider.request<Quote>('POST', '/v1/quotes', { body: quoted }));
    const made = await expectStatus(
      201,
      rider.request<Trip & { startCode: string }>('POST', '/v1/trips', { body: { quoteId: quote.body.id } }),
    );
    const { id, startCode } = made.body;
    const step = (name: string, body: object = {}): Promise<ApiResponse> =>
      driver.request('POST', `/v1/trips/${id}/${name}`, { body });
    await until(async () => (await step('accept')).status === 200, { describe: 'the offer to be accepted' });
    await expectStatus(200, step('arrive'));
    await expectStatus(200, step('start', { code: startCode }));
    await expectStatus(200, step('complete'));
    const receipt = await until(
      async () => {
        const { status, body } = await rider.request<{ paymentId: string }>('GET', `/v1/trips/${id}/receipt`);
        return status === 200 ? body : undefined;
      },
      { describe: 'the receipt' },
    );
    return [id, receipt.paymentId];
  }

  /** Bodies that the routes would take from the right person. */
  const bodies: Record<string, object> = {
    start: { code: '0000' },
    cancel: { reason: 'not mine' },
    rating: { stars: 1 },
    pay: { paymentMethodId: '01900000-0000-7000-8000-000000000001' },
    refunds: { amount: { amountMinor: 1, currency: 'VND' }, reason: 'not mine' },
  };

  test('is 403 or 404 to every stranger at every route with an id in it', async () => {
    const tried: string[] = [];
    const routes = Object.values(running.services)
      .flatMap(({ access }) => access)
      .filter(({ path, roles }) => /^\/v1\/(trips|payments)\/:id/.test(path) && !roles.includes('service'));
    for (const { method, path, roles } of routes) {
      const id = path.startsWith('/v1/payments/') ? paymentId : tripId;
      for (const role of roles.filter((role) => role !== 'service')) {
        // Operators are let in on purpose: whose things they see is what the role is for.
        if (role === 'ops') continue;
        const body = bodies[path.split('/').at(-1) ?? ''] ?? {};
        const answer = await strangers[role].request(
          method,
          path.replace(':id', id),
          method === 'GET' ? {} : { body },
        );
        const by = `${method} ${path} by a strange ${role}: ${answer.code}`;
        expect([by, answer.status === 403 || answer.status === 404]).toEqual([by, true]);
        tried.push(`${method} ${path} ${role}`);
      }
    }
    expect(tried.length).toBeGreaterThanOrEqual(12);
  });

  test('is in no list of a stranger', async () => {
    for (const path of ['/v1/trips', '/v1/payment-methods']) {
      const { body } = await strangers.rider.request<{ items: { id: string }[] }>('GET', path);
      const owned = await owner.request<{ items: { id: string }[] }>('GET', path);
      const theirs = new Set(owned.body.items.map(({ id }) => id));
      expect(theirs.size).toBeGreaterThan(0);
      expect(body.items.filter(({ id }) => theirs.has(id))).toEqual([]);
    }
  });
});
