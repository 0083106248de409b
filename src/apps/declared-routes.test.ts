import { expect, test } from 'bun:test';
import { consumingContexts } from '@contracts/dead-letters.ts';
import { createEdgeRouter } from '@modules/gateway/routing/router.ts';
import { declarePublicRoutes } from './declared-routes.ts';

// The edge has no list of routes of its own. What the contexts declare has to give it these facts.

const declared = declarePublicRoutes();
const router = createEdgeRouter(declared);
const id = '0192f0c4-0000-7000-8000-000000000000';

function publicRouteOf(method: string, path: string) {
  const match = router.match(method, path);
  if (match.kind !== 'public') throw new Error(`${method} ${path}: ${match.kind}`);
  return match.route;
}

test('every public route declares its owner, limit class, priority, repeatability and access', () => {
  expect(declared.length).toBeGreaterThan(60);
  expect(declared.filter(({ publicRoute }) => publicRoute === undefined)).toEqual([]);
});

test('each public path is owned by a context', () => {
  const ownerOf = (method: string, path: string) => publicRouteOf(method, path).owner;
  expect(ownerOf('POST', '/v1/auth/login')).toBe('user');
  expect(ownerOf('GET', '/.well-known/jwks.json')).toBe('user');
  expect(ownerOf('GET', '/v1/users/me')).toBe('user');
  expect(ownerOf('PUT', '/v1/drivers/me/location')).toBe('driver');
  expect(ownerOf('GET', '/v1/drivers/me/earnings')).toBe('payment');
  expect(ownerOf('POST', '/v1/quotes')).toBe('payment');
  expect(ownerOf('POST', '/v1/trips')).toBe('trip');
  expect(ownerOf('POST', `/v1/trips/${id}/accept`)).toBe('trip');
  expect(ownerOf('GET', `/v1/trips/${id}/receipt`)).toBe('payment');
  expect(ownerOf('POST', '/v1/realtime/ticket')).toBe('notification');
  for (const context of consumingContexts) {
    expect(ownerOf('GET', `/v1/ops/dead-letters/${context}`)).toBe(context);
    expect(ownerOf('GET', `/v1/ops/dead-letters/${context}/${context}.queue/x`)).toBe(context);
  }
});

test('internal routes and unknown paths have no public route', () => {
  for (const path of [
    '/internal/driver/holds',
    '/v1',
    '/v2/trips',
    '/metrics',
    '/v1/tripsy',
    '//v1/trips',
    '/v1/internal',
    '/v1/ops',
    '/v1/ops/dead-letters',
    '/v1/ops/dead-letters/user',
    '/v1/ops/dead-letters/driverless',
  ]) {
    expect([path, router.match('GET', path).kind]).toEqual([path, 'rejected']);
  }
});

test('only login, the key set and the WebSocket need no token', () => {
  const open = declared.filter(({ publicRoute }) => publicRoute?.requiresToken === false);
  expect(open.map(({ method, path }) => `${method} ${path}`).sort()).toEqual([
    'GET /.well-known/jwks.json',
    'GET /v1/realtime/',
    'POST /v1/auth/login',
    'POST /v1/auth/logout',
    'POST /v1/auth/refresh',
    'POST /v1/auth/register',
  ]);
});

test('positions, reads and writes have different limit classes', () => {
  const limitClassOf = (method: string, path: string) => publicRouteOf(method, path).limitClass;
  expect(limitClassOf('PUT', '/v1/drivers/me/location')).toBe('position');
  expect(limitClassOf('POST', '/v1/drivers/me/locations')).toBe('position');
  expect(limitClassOf('GET', '/v1/trips')).toBe('read');
  expect(limitClassOf('HEAD', '/v1/trips')).toBe('read');
  expect(limitClassOf('POST', '/v1/trips')).toBe('write');
  expect(limitClassOf('POST', '/v1/auth/login')).toBe('auth');
});

test('trips in progress and payments precede new trips, positions, and everything that can wait', () => {
  const trip = `/v1/trips/${id}`;
  const priorityOf = (method: string, path: string) => publicRouteOf(method, path).priority;
  for (const path of [`${trip}/accept`, `${trip}/complete`, `${trip}/cancel`])
    expect(priorityOf('POST', path)).toBe(1);
  for (const path of [trip, `${trip}/receipt`, '/v1/payments/1', '/v1/ops/dead-letters/trip'])
    expect(priorityOf('GET', path)).toBe(1);
  for (const path of ['/v1/trips', '/v1/quotes', '/v1/auth/login', '/v1/payment-methods', `${trip}/rating`])
    expect(priorityOf('POST', path)).toBe(2);
  expect(priorityOf('PUT', '/v1/drivers/me/location')).toBe(3);
  for (const path of ['/v1/trips', `${trip}/history`, '/v1/drivers/nearby', '/v1/drivers/me/earnings'])
    expect(priorityOf('GET', path)).toBe(4);
});

test('only idempotent requests and writes with a stored key are repeatable', () => {
  const repeatabilityOf = (method: string, path: string) => publicRouteOf(method, path).repeatability;
  for (const { method, path, publicRoute } of declared) {
    const isIdempotent = ['GET', 'PUT', 'DELETE'].includes(method);
    expect([method, path, publicRoute?.repeatability === 'always']).toEqual([method, path, isIdempotent]);
  }
  for (const path of [
    '/v1/quotes',
    '/v1/trips',
    '/v1/payment-methods',
    '/v1/payments/x/refunds',
    '/v1/payments/x/pay',
  ])
    expect(repeatabilityOf('POST', path)).toBe('with_key');
  // These routes store no keys, so a second accept, rating or batch of positions is a new one.
  for (const path of [
    '/v1/trips/x/accept',
    '/v1/trips/x/rating',
    '/v1/drivers/me/locations',
    '/v1/auth/login',
  ])
    expect(repeatabilityOf('POST', path)).toBe('never');
});
