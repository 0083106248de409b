import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { publicTestRoute } from '../testing/routes.ts';
import { createRouteTable } from './route-table.ts';
import { createEdgeRouter } from './router.ts';

const declared = [
  publicTestRoute('GET', '/v1/trips'),
  publicTestRoute('POST', '/v1/trips'),
  publicTestRoute('GET', '/v1/trips/:id'),
  publicTestRoute('POST', '/v1/trips/:id/accept'),
  publicTestRoute('GET', '/v1/realtime/', { owner: 'notification' }),
  publicTestRoute('GET', '/v1/ops/dead-letters/trip/:queue/:id'),
  publicTestRoute('DELETE', '/v1/ops/dead-letters/trip/:queue/:id'),
  publicTestRoute('POST', '/v1/ops/dead-letters/trip/:queue/redrive'),
  { method: 'GET', path: '/healthz' },
  { method: 'GET', path: '/openapi' },
];
const id = '01a20438-5328-7000-be00-93adcfa25034';

describe('the methods of a path', () => {
  const table = createRouteTable(declared);
  const methodsOf = (path: string) => table.find(path)?.methods;

  test.each([
    ['/v1/trips', ['GET', 'HEAD', 'OPTIONS', 'POST']],
    [`/v1/trips/${id}`, ['GET', 'HEAD', 'OPTIONS']],
    ['/v1/trips/x', ['GET', 'HEAD', 'OPTIONS']],
    [`/v1/trips/${id}/accept`, ['OPTIONS', 'POST']],
    ['/v1/realtime', ['GET', 'HEAD', 'OPTIONS']],
    ['/v1/ops/dead-letters/trip/q/x', ['DELETE', 'GET', 'HEAD', 'OPTIONS']],
    ['/v1/ops/dead-letters/trip/q/redrive', ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'POST']],
    ['/healthz', ['GET', 'HEAD', 'OPTIONS']],
  ])('%s', (path, methods) => expect(methodsOf(path)).toEqual(methods));

  test.each([
    '',
    '/',
    '/v1',
    '/v1/trips/',
    '/v1//trips',
    '//v1/trips',
    '/v1/trips//accept',
    `/v1/trips/${id}/`,
    `/v1/trips/${id}/accept/x`,
    '/v1/TRIPS',
    '/v1/trip%73',
    '/v1/realtime/',
    '/healthz/x',
    '/__proto__',
    '/constructor',
  ])('%p has no route', (path) => expect(methodsOf(path)).toBeUndefined());
});

describe('the router', () => {
  const router = createEdgeRouter(declared);
  const outcome = (method: string, path: string) => {
    const match = router.match(method, path);
    if (match.kind === 'rejected') return match.problem.code;
    return match.kind === 'public' ? match.route.owner : match.kind;
  };

  test.each([
    ['GET', '/v1/trips', 'trip'],
    ['HEAD', `/v1/trips/${id}`, 'trip'],
    ['OPTIONS', '/v1/trips', 'options'],
    ['GET', '/healthz', 'operation'],
    ['HEAD', '/healthz', 'operation'],
    ['GET', '/openapi', 'document'],
    ['PUT', '/v1/trips', 'request.method_not_allowed'],
    ['HEAD', `/v1/trips/${id}/accept`, 'request.method_not_allowed'],
    ['GET', '/v1/nothing', 'request.not_found'],
    ['OPTIONS', '/v1/nothing', 'request.not_found'],
    // A path below a context's prefix that no route has.
    ['GET', '/v1/trips/x/y/z', 'request.not_found'],
    ['FOO', '/v1/trips', 'request.method_unknown'],
    ['FOO', '/v1/nothing', 'request.method_unknown'],
    ['get', '/v1/trips', 'request.method_unknown'],
    ['TRACE', '/v1/trips', 'request.method_unknown'],
    ['__proto__', '/v1/trips', 'request.method_unknown'],
  ])('matches %s %s with %s', (method, path, expected) => expect(outcome(method, path)).toBe(expected));

  test('matches a request the same way whatever it matched before', () => {
    const segment = fc.oneof(fc.uuid(), fc.constantFrom('v1', 'trips', 'accept', 'x', ''));
    const path = fc.array(segment, { maxLength: 4 }).map((segments) => `/${segments.join('/')}`);
    const method = fc.constantFrom('GET', 'HEAD', 'POST', 'OPTIONS', 'FOO');
    fc.assert(
      fc.property(method, path, (requestMethod, requestPath) => {
        const fresh = createEdgeRouter(declared).match(requestMethod, requestPath);
        const cached = router.match(requestMethod, requestPath);
        expect(cached.kind).toBe(fresh.kind);
        if (cached.kind === 'rejected' && fresh.kind === 'rejected')
          expect([cached.problem.code, cached.problem.allowedMethods]).toEqual([
            fresh.problem.code,
            fresh.problem.allowedMethods,
          ]);
      }),
      { numRuns: 1_000 },
    );
  });
});
