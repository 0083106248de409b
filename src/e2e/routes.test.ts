import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { type ApiClient, createApiClient, signUp } from '@testing/people.ts';
import { type RunningSystem, startSystem } from '@testing/topologies.ts';

const startTimeoutMs = 60_000;
const unknownId = '01a20438-5328-7000-be00-93adcfa25034';

interface Operation {
  method: string;
  path: string;
  roles: string[] | undefined;
}

/** The routes that the public API must have, whichever service answers them. */
const surface = [
  'POST /v1/auth/register',
  'POST /v1/auth/login',
  'POST /v1/auth/refresh',
  'POST /v1/auth/logout',
  'GET /.well-known/jwks.json',
  'GET /v1/users/me',
  'PATCH /v1/users/me',
  'PUT /v1/drivers/me/status',
  'PUT /v1/drivers/me/vehicle',
  'PUT /v1/drivers/me/location',
  'POST /v1/drivers/me/locations',
  'GET /v1/drivers/nearby',
  'GET /v1/drivers/me/earnings',
  'POST /v1/quotes',
  'POST /v1/trips',
  'GET /v1/trips',
  'GET /v1/trips/{id}',
  'GET /v1/trips/{id}/history',
  'POST /v1/trips/{id}/accept',
  'POST /v1/trips/{id}/decline',
  'POST /v1/trips/{id}/arrive',
  'POST /v1/trips/{id}/start',
  'POST /v1/trips/{id}/complete',
  'POST /v1/trips/{id}/cancel',
  'POST /v1/trips/{id}/rating',
  'GET /v1/trips/{id}/receipt',
  'POST /v1/payment-methods',
  'GET /v1/payment-methods',
  'GET /v1/payments/{id}',
  'POST /v1/payments/{id}/refunds',
  'POST /v1/realtime/ticket',
  'GET /v1/ops/people',
  'GET /v1/ops/people/{id}',
  'POST /v1/ops/people/{id}/ban',
  'POST /v1/ops/people/{id}/unban',
  'POST /v1/ops/signing-keys/rotate',
  ...['driver', 'trip', 'payment', 'notification'].flatMap((context) => [
    `GET /v1/ops/dead-letters/${context}`,
    `GET /v1/ops/dead-letters/${context}/{queue}`,
    `GET /v1/ops/dead-letters/${context}/{queue}/{id}`,
    `DELETE /v1/ops/dead-letters/${context}/{queue}/{id}`,
    `POST /v1/ops/dead-letters/${context}/{queue}/redrive`,
    `POST /v1/ops/dead-letters/${context}/{queue}/drop`,
  ]),
];

describe.each(['one process, embedded adapters', 'fleet'] as const)('every public route, %s,', (name) => {
  let system: RunningSystem;
  let operations: Operation[];
  let people: { rider: ApiClient; driver: ApiClient };

  beforeAll(async () => {
    system = await startSystem(name);
    const { body } = await createApiClient(system.url).request<{
      paths: Record<string, Record<string, { 'x-roles'?: string[] }>>;
    }>('GET', '/openapi/json');
    operations = Object.entries(body.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        method: method.toUpperCase(),
        path: path.replace(/(.)\/$/, '$1'),
        roles: operation['x-roles'],
      })),
    );
    people = { rider: await signUp(system.url, 'rider'), driver: await signUp(system.url, 'driver') };
  }, startTimeoutMs);
  afterAll(() => system?.stop(), startTimeoutMs);

  const ask = (client: ApiClient, { method, path }: Operation) =>
    client.request(method, path.replace('{id}', unknownId), method === 'GET' ? {} : { body: {} });

  test('exists and is documented', () => {
    const found = operations.map(({ method, path }) => `${method} ${path}`);
    expect(surface.filter((route) => !found.includes(route))).toEqual([]);
  });

  test('declares its roles', () => {
    expect(operations.filter(({ roles }) => roles === undefined)).toEqual([]);
  });

  test('rejects requests without a token, unless it is public', async () => {
    const open: string[] = [];
    for (const operation of operations) {
      const { status } = await ask(createApiClient(system.url), operation);
      if (operation.roles?.length === 0) open.push(`${operation.method} ${operation.path}`);
      else expect([operation, status]).toEqual([operation, 401]);
    }
    expect(open.sort()).toEqual([
      'GET /.well-known/jwks.json',
      'GET /v1/realtime',
      'POST /v1/auth/login',
      'POST /v1/auth/logout',
      'POST /v1/auth/refresh',
      'POST /v1/auth/register',
    ]);
  });

  test('rejects every role that it does not name', async () => {
    for (const operation of operations.filter(({ roles }) => roles?.length !== 0)) {
      for (const role of ['rider', 'driver'] as const) {
        if (operation.roles?.includes(role)) continue;
        const { status } = await ask(people[role], operation);
        expect([operation, role, status]).toEqual([operation, role, 403]);
      }
    }
  });

  test('the edge answers 404 for internal routes', async () => {
    for (const path of [
      '/internal/driver/candidates',
      '/internal/payment/quotes/x',
      '/internal/trip/active',
      '/v1/internal',
      '/internal',
    ]) {
      expect((await people.rider.request('POST', path, { body: {} })).status).toBe(404);
    }
  });

  test('operational routes answer, and the metrics contain no personal data', async () => {
    const anyone = createApiClient(system.url);
    expect((await anyone.request('GET', '/healthz')).status).toBe(200);
    expect((await anyone.request<{ status: string }>('GET', '/readyz')).body.status).toBe('ready');
    const metrics = await fetch(`${system.url}/metrics`).then((response) => response.text());
    expect(metrics).not.toContain('example.com');
    const page = await fetch(`${system.url}/openapi`).then((response) => response.text());
    expect(page).not.toMatch(/https?:\/\//);
  });
});
