import { describe, expect, test } from 'bun:test';
import { systemClock } from '@platform/clock.ts';
import { edgePolicy } from '@platform/http/edge-policy.ts';
import { createTestTokens } from '@testing/tokens.ts';
import { Elysia } from 'elysia';
import { readProcessRoutes, readPublicRoutes } from './read-routes.ts';

const { guard } = createTestTokens(systemClock);
const policy = { limitClass: 'write', priority: 2, repeatability: 'with_key' } as const;
const app = () => new Elysia({ prefix: '/v1', detail: { tags: ['trip'] } }).use(guard);

describe('reading the public routes of a context', () => {
  test('returns the declared policy, the owner and whether a token is needed', () => {
    const routes = app()
      .post('/trips', () => 'done', { role: 'rider', detail: { ...edgePolicy(policy), summary: 'Request' } })
      .post('/login', () => 'done', { open: true, detail: edgePolicy(policy) });
    expect(readPublicRoutes('trip', routes)).toEqual([
      { method: 'POST', path: '/v1/trips', publicRoute: { owner: 'trip', ...policy, requiresToken: true } },
      { method: 'POST', path: '/v1/login', publicRoute: { owner: 'trip', ...policy, requiresToken: false } },
    ]);
  });

  test.each([
    ['without a policy', { 'x-roles': [] }],
    ['without access', edgePolicy(policy)],
    ['with an unknown limit class', { 'x-roles': [], 'x-edge': { ...policy, limitClass: 'writes' } }],
    ['with an unknown priority', { 'x-roles': [], 'x-edge': { ...policy, priority: 5 } }],
    ['with an incomplete policy', { 'x-roles': [], 'x-edge': { limitClass: 'write', priority: 2 } }],
  ])('throws for a route %s', (_, detail) => {
    const routes = new Elysia().post('/v1/trips', () => 'done', { detail: detail as object });
    expect(() => readPublicRoutes('trip', routes)).toThrow('POST /v1/trips declares no edge policy');
  });
});

test('reading the routes of a process returns method and path only', () => {
  const routes = new Elysia().get('/healthz', () => 'alive', { detail: { hide: true } });
  expect(readProcessRoutes(routes)).toEqual([{ method: 'GET', path: '/healthz' }]);
});
