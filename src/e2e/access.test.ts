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

// Checks the access rules of every route of every service, internal routes too, as the services declare
// them (a service with a route that declares none does not start).

const startTimeoutMs = 60_000;
const unknownId = '01a20438-5328-7000-be00-93adcfa25034';
const serviceNames = ['user', 'driver', 'payment', 'trip', 'notification', 'gateway'] as const;
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

/** Calls a route without a valid body or id, so that it changes nothing even for callers with access. */
async function call(url: string, { method, path }: RouteAccess, headers: Record<string, string> = {}) {
  const filled = path.replace(/:\w+/g, unknownId).replace(/(.)\/$/, '$1');
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
const serviceTokenHeader = (to: string) => ({
  'x-service-token': createServiceCredentials({
    secret: running.serviceSecret,
    service: 'test',
    clock: systemClock,
  }).tokenFor(to),
});
const describeCall = ({ method, path }: RouteAccess, by: string) => `${method} ${path} by ${by}`;
const hasAccess = ({ status }: { status: number }) => status !== 401 && status !== 403;

describe.each(serviceNames)('the %s service', (name) => {
  const access = () => running.services[name].access;
  const url = () => running.services[name].url;

  test('rejects callers without a token, except at public routes', async () => {
    for (const route of access()) {
      const answer = await call(url(), route);
      const attempt = describeCall(route, 'nobody');
      if (route.roles.length === 0) expect([attempt, hasAccess(answer)]).toEqual([attempt, true]);
      else if (route.roles.includes('service'))
        expect([attempt, answer]).toEqual([attempt, { status: 403, code: 'auth.service_forbidden' }]);
      else expect([attempt, answer]).toEqual([attempt, { status: 401, code: 'auth.token_missing' }]);
    }
  });

  test.each(roles)('accepts a %s exactly where the route names that role', async (role) => {
    for (const route of access().filter(({ roles }) => roles.length > 0)) {
      const answer = await call(url(), route, bearer(role));
      const attempt = describeCall(route, role);
      if (route.roles.includes(role)) expect([attempt, hasAccess(answer)]).toEqual([attempt, true]);
      else expect([attempt, answer.status]).toEqual([attempt, 403]);
    }
  });

  test('accepts a service token only at internal routes', async () => {
    for (const route of access().filter(({ roles }) => roles.length > 0)) {
      const attempt = describeCall(route, 'service');
      const isInternal = route.roles.includes('service');
      expect([attempt, isInternal]).toEqual([attempt, route.path.startsWith('/internal/')]);
      expect([attempt, hasAccess(await call(url(), route, serviceTokenHeader(name)))]).toEqual([
        attempt,
        isInternal,
      ]);
      for (const wrong of [
        '',
        'x',
        'x'.repeat(32),
        running.serviceSecret,
        ...Object.values(serviceTokenHeader('another')),
        tokens.ops,
      ])
        expect([attempt, hasAccess(await call(url(), route, { 'x-service-token': wrong }))]).toEqual([
          attempt,
          false,
        ]);
    }
  });
});

test('the only public routes are sign-in, the key set, the WebSocket handshake, the API documents and health', () => {
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

test('the edge answers 404 for internal routes, even with a service token', async () => {
  const { gateway, ...upstreams } = running.services;
  const internal = Object.values(upstreams)
    .flatMap(({ access }) => access)
    .filter(({ path }) => path.startsWith('/internal/'));
  expect(internal.length).toBeGreaterThanOrEqual(6);
  for (const route of internal) {
    const known = serviceTokenHeader(route.path.split('/')[2] ?? '');
    for (const headers of [known, { ...known, ...bearer('ops') }]) {
      const answer = await call(gateway.url, route, headers);
      expect([route.path, answer]).toEqual([route.path, { status: 404, code: 'request.not_found' }]);
    }
  }
});

test('a ban takes effect at the edge, in every service and on live connections within seconds', async () => {
  const { url } = running.services.gateway;
  const person = await signUp(url, 'driver');
  const { accessToken } = person.session.tokens;
  const calls = [
    ['gateway', '/v1/users/me'],
    ['user', '/v1/users/me'],
    ['driver', '/v1/drivers/nearby?lat=10&lng=106'],
    ['trip', '/v1/trips'],
    ['payment', '/v1/drivers/me/earnings'],
  ] as const;
  const ask = ([name, path]: (typeof calls)[number]) =>
    createApiClient(running.services[name].url, accessToken).request('GET', path);
  for (const target of calls) expect([target, (await ask(target)).status]).toEqual([target, 200]);
  const ticket = await person.request<{ ticket: string }>('POST', '/v1/realtime/ticket');
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/realtime?ticket=${ticket.body.ticket}`);
  const closed = new Promise<number>((resolve) => {
    socket.onclose = ({ code }) => resolve(code);
  });
  await new Promise((resolve) => {
    socket.onmessage = resolve;
  });
  const body = { reason: 'access test' };
  await expectStatus(200, ops.request('POST', `/v1/ops/people/${person.id}/ban`, { body }));
  const bannedAtMs = performance.now();
  for (const target of calls) {
    await until(async () => (await ask(target)).code === 'auth.token_revoked', {
      describe: `${target[0]} to refuse the token`,
      timeoutMs: 15_000,
    });
  }
  expect(await closed).toBe(4401);
  expect(performance.now() - bannedAtMs).toBeLessThan(20_000);
});

describe('a trip or payment of another person', () => {
  let owner: PersonClient;
  let otherPeople: Record<Role, ApiClient>;
  let tripId: string;
  let paymentId: string;
  const pickup = { lat: 10.7769, lng: 106.7009 };

  beforeAll(async () => {
    const { url } = running.services.gateway;
    owner = await signUpRider(url);
    const driver = await signUpDriver(url, pickup);
    [tripId, paymentId] = await ride(owner, driver);
    otherPeople = { rider: await signUpRider(url), driver: await signUpDriver(url, pickup), ops };
  }, startTimeoutMs);

  /** Runs a whole ride, so that there are a trip, a payment and a receipt. */
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

  /** Bodies that the routes accept from the right person. */
  const bodies: Record<string, object> = {
    start: { code: '0000' },
    cancel: { reason: 'not mine' },
    rating: { stars: 1 },
    pay: { paymentMethodId: '01900000-0000-7000-8000-000000000001' },
    refunds: { amount: { amountMinor: 1, currency: 'VND' }, reason: 'not mine' },
  };

  test('answers 403 or 404 to other people at every route with an id', async () => {
    const attempts: string[] = [];
    const routes = Object.values(running.services)
      .flatMap(({ access }) => access)
      .filter(({ path, roles }) => /^\/v1\/(trips|payments)\/:id/.test(path) && !roles.includes('service'));
    for (const { method, path, roles } of routes) {
      const id = path.startsWith('/v1/payments/') ? paymentId : tripId;
      for (const role of roles.filter((role) => role !== 'service')) {
        // Operators have access by design.
        if (role === 'ops') continue;
        const body = bodies[path.split('/').at(-1) ?? ''] ?? {};
        const answer = await otherPeople[role].request(
          method,
          path.replace(':id', id),
          method === 'GET' ? {} : { body },
        );
        const attempt = `${method} ${path} by another ${role}: ${answer.code}`;
        expect([attempt, answer.status === 403 || answer.status === 404]).toEqual([attempt, true]);
        attempts.push(`${method} ${path} ${role}`);
      }
    }
    expect(attempts.length).toBeGreaterThanOrEqual(12);
  });

  test('is in no list of other people', async () => {
    for (const path of ['/v1/trips', '/v1/payment-methods']) {
      const { body } = await otherPeople.rider.request<{ items: { id: string }[] }>('GET', path);
      const owned = await owner.request<{ items: { id: string }[] }>('GET', path);
      const theirs = new Set(owned.body.items.map(({ id }) => id));
      expect(theirs.size).toBeGreaterThan(0);
      expect(body.items.filter(({ id }) => theirs.has(id))).toEqual([]);
    }
  });
});
