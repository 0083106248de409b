import { expect, test } from 'bun:test';
import { testServiceGuard } from '@testing/service-auth.ts';
import { createTestTokens } from '@testing/tokens.ts';
import { Elysia } from 'elysia';
import { systemClock } from '../clock.ts';
import { readRouteAccess } from './route-access.ts';

const { guard } = createTestTokens(systemClock);
const serviceGuard = testServiceGuard('any', systemClock);

test('the access of each route is listed', () => {
  const app = new Elysia()
    .use(guard)
    .use(serviceGuard)
    .get('/mine', () => 'x', { role: ['rider', 'driver'] })
    .get('/ours', () => 'x', { service: true })
    .get('/all', () => 'x', { open: true });
  expect(readRouteAccess(app)).toEqual([
    { method: 'GET', path: '/mine', roles: ['rider', 'driver'] },
    { method: 'GET', path: '/ours', roles: ['service'] },
    { method: 'GET', path: '/all', roles: [] },
  ]);
});

test('a route without declared access throws, also inside a plugin that uses the guard', () => {
  const forgotten = new Elysia().use(guard).post('/forgotten', () => 'x');
  expect(() => readRouteAccess(new Elysia().use(forgotten))).toThrow('POST /forgotten declares no access');
});
