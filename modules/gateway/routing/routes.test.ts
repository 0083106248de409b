import { expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  limitClassOf,
  ownerOf,
  priorityOf,
  publicRouteOf,
  repeatabilityOf,
  requiresToken,
} from './routes.ts';

test('each public path is owned by a context', () => {
  expect(ownerOf('/v1/auth/login')).toBe('user');
  expect(ownerOf('/.well-known/jwks.json')).toBe('user');
  expect(ownerOf('/v1/users/me')).toBe('user');
  expect(ownerOf('/v1/drivers/me/location')).toBe('driver');
  expect(ownerOf('/v1/drivers/me/earnings')).toBe('payment');
  expect(ownerOf('/v1/quotes')).toBe('payment');
  expect(ownerOf('/v1/trips')).toBe('trip');
  expect(ownerOf('/v1/trips/x/accept')).toBe('trip');
  expect(ownerOf('/v1/trips/x/receipt')).toBe('payment');
  expect(ownerOf('/v1/realtime/ticket')).toBe('notification');
  for (const context of ['driver', 'trip', 'payment', 'notification'] as const) {
    expect(ownerOf(`/v1/ops/dead-letters/${context}`)).toBe(context);
    expect(ownerOf(`/v1/ops/dead-letters/${context}/${context}.queue/x`)).toBe(context);
  }
});

test('internal routes and unknown paths have no owner', () => {
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
    expect(ownerOf(path)).toBeUndefined();
  }
});

test('only login, the key set and the WebSocket need no token', () => {
  for (const path of ['/v1/auth/login', '/.well-known/jwks.json', '/v1/realtime'])
    expect(requiresToken(path)).toBe(false);
  for (const path of ['/v1/realtime/ticket', '/v1/trips', '/v1/users/me', '/v1/ops/dead-letters/trip'])
    expect(requiresToken(path)).toBe(true);
});

test('positions, reads and writes have different limit classes', () => {
  expect(limitClassOf('PUT', '/v1/drivers/me/location')).toBe('position');
  expect(limitClassOf('POST', '/v1/drivers/me/locations')).toBe('position');
  expect(limitClassOf('GET', '/v1/trips')).toBe('read');
  expect(limitClassOf('POST', '/v1/trips')).toBe('write');
  expect(limitClassOf('POST', '/v1/auth/login')).toBe('auth');
});

test('trips in progress and payments precede new trips, positions, and everything that can wait', () => {
  const trip = '/v1/trips/0192f0c4-0000-7000-8000-000000000000';
  const priority = (method: string, path: string) => priorityOf(path, limitClassOf(method, path));
  for (const path of [`${trip}/accept`, `${trip}/complete`, `${trip}/cancel`])
    expect(priority('POST', path)).toBe(1);
  for (const path of [trip, `${trip}/receipt`, '/v1/payments/1', '/v1/ops/dead-letters/trip'])
    expect(priority('GET', path)).toBe(1);
  for (const path of ['/v1/trips', '/v1/quotes', '/v1/auth/login', '/v1/payment-methods', `${trip}/rating`])
    expect(priority('POST', path)).toBe(2);
  expect(priority('PUT', '/v1/drivers/me/location')).toBe(3);
  for (const path of ['/v1/trips', `${trip}/history`, '/v1/drivers/nearby', '/v1/drivers/me/earnings'])
    expect(priority('GET', path)).toBe(4);
});

test('only idempotent requests and writes with a stored key are repeatable', () => {
  for (const method of ['GET', 'PUT', 'DELETE'])
    expect(repeatabilityOf(method, '/v1/trips/x')).toBe('always');
  expect(repeatabilityOf('PATCH', '/v1/users/me')).toBe('never');
  for (const path of ['/v1/quotes', '/v1/trips', '/v1/payment-methods', '/v1/payments/x/refunds'])
    expect(repeatabilityOf('POST', path)).toBe('with_key');
  // These keep no keys: a second accept, rating or batch of positions is a second one.
  for (const path of [
    '/v1/trips/x/accept',
    '/v1/trips/x/rating',
    '/v1/drivers/me/locations',
    '/v1/auth/login',
  ])
    expect(repeatabilityOf('POST', path)).toBe('never');
});

test('a route cached by path shape is the same as the one found by patterns', () => {
  const segment = fc.oneof(
    fc.uuid(),
    fc.constantFrom(
      'v1',
      'trips',
      'drivers',
      'me',
      'location',
      'receipt',
      'accept',
      'ops',
      'people',
      '*',
      '',
    ),
    fc.constantFrom('payments', 'refunds', 'dead-letters', 'trip', 'quotes', 'history', 'auth', 'realtime'),
    fc.string({ unit: fc.constantFrom('a', '-', '*', '%'), minLength: 35, maxLength: 37 }),
    fc.constantFrom('location', 'realtime', 'auth').map((name) => name.padEnd(36, 's')),
  );
  const paths = fc.array(segment, { maxLength: 6 }).map((segments) => `/v1/${segments.join('/')}`);
  fc.assert(
    fc.property(fc.constantFrom('GET', 'POST', 'PUT', 'DELETE'), paths, (method, path) => {
      const owner = ownerOf(path);
      const limitClass = limitClassOf(method, path);
      expect(publicRouteOf(method, path)).toEqual(
        owner === undefined
          ? undefined
          : {
              owner,
              limitClass,
              priority: priorityOf(path, limitClass),
              requiresToken: requiresToken(path),
              repeatability: repeatabilityOf(method, path),
            },
      );
    }),
    { numRuns: 3_000 },
  );
});
