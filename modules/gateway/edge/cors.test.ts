import { describe, expect, test } from 'bun:test';
import { loadConfig } from '@platform/config.ts';
import { type EdgeRequest, fetchResponseAdapter, http1ResponseAdapter } from '@platform/http/edge-request.ts';
import { parseOrigins } from '@platform/http/origins.ts';
import { awaitResponse, createServerRequest } from '@testing/http1-requests.ts';
import { createEdgeRouter } from '../routing/router.ts';
import { gatewaySettings } from '../settings.ts';
import { createCors } from './cors.ts';

const origin = 'https://app.example';
const router = createEdgeRouter([{ method: 'GET', path: '/v1/trips' }]);

/** What either server answers, as a client sees it. */
const servers = {
  http1: async (allowed: string, request: EdgeRequest) =>
    awaitResponse(
      createCors(parseOrigins(allowed), http1ResponseAdapter, router, () => ({
        status: 200,
        lines: 'vary: Accept\r\n',
        body: 'ok',
      })).handle(request),
    ),
  fetch: (allowed: string, request: EdgeRequest) =>
    createCors(
      parseOrigins(allowed),
      fetchResponseAdapter,
      router,
      async () => new Response('ok', { headers: { vary: 'Accept' } }),
    ).handle(request),
};
const asked = (headers: Record<string, string>, method = 'GET') =>
  createServerRequest({ method, target: '/v1/trips', headers });
const corsOf = ({ headers }: Response) =>
  [...headers].filter(([name]) => name.startsWith('access-control-')).map(([name]) => name);

describe.each(['http1', 'fetch'] as const)('answers of %s', (name) => {
  const ask = (allowed: string, headers: Record<string, string>, method?: string) =>
    servers[name](allowed, asked(headers, method));

  test('have nothing of CORS while no origin is configured', async () => {
    const answer = await ask('', { origin });
    expect([corsOf(answer), answer.headers.get('vary')]).toEqual([[], 'Accept']);
  });

  test('name the origin that is allowed, and keep what they varied by', async () => {
    const answer = await ask(`https://ops.example,${origin}`, { origin });
    expect(answer.headers.get('access-control-allow-origin')).toBe(origin);
    expect(answer.headers.get('vary')).toBe('Accept, Origin');
    expect(answer.headers.has('access-control-allow-credentials')).toBe(false);
  });

  test.each([
    'https://app.example.evil.example',
    'http://app.example',
    'https://app.example:8443',
    'https://sub.app.example',
    'https://APP.example',
    'null',
    '*',
    '',
  ])('to %p say only that they vary', async (other) => {
    const answer = await ask(origin, { origin: other });
    expect([corsOf(answer), answer.headers.get('vary')]).toEqual([[], 'Accept, Origin']);
  });

  test('to a preflight say methods and headers, to plain OPTIONS they do not', async () => {
    const method = { 'access-control-request-method': 'GET' };
    const preflight = await ask(origin, { origin, ...method }, 'OPTIONS');
    expect(preflight.headers.get('access-control-allow-methods')).toBe('GET, HEAD, OPTIONS');
    expect(preflight.headers.get('access-control-max-age')).toBe('7200');
    const plain = await ask(origin, { origin }, 'OPTIONS');
    expect(plain.headers.has('access-control-allow-methods')).toBe(false);
  });
});

test.each(['https://a.example', 'http://localhost:3000', 'https://a.example, https://b.example:8443', ''])(
  'CORS_ORIGINS may be %p',
  (CORS_ORIGINS) => expect(loadConfig(gatewaySettings, { CORS_ORIGINS }).CORS_ORIGINS).toBe(CORS_ORIGINS),
);

test.each([
  '*',
  'https://*.example',
  'https://a.example/',
  'https://a.example/path',
  'a.example',
  'null',
  'https://A.example',
  'https://a.example,',
  'ftp://a.example',
])('CORS_ORIGINS may not be %p', (CORS_ORIGINS) =>
  expect(() => loadConfig(gatewaySettings, { CORS_ORIGINS })).toThrow('CORS_ORIGINS is invalid'),
);
