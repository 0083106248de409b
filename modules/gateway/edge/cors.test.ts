import { describe, expect, test } from 'bun:test';
import { loadConfig } from '@platform/config.ts';
import { type EdgeRequest, fetchResponseAdapter } from '@platform/http/edge-request.ts';
import { parseOrigins } from '@platform/http/origins.ts';
import { http1ResponseAdapter } from '@platform/http1-edge/response-adapter.ts';
import { awaitResponse, createServerRequest } from '@testing/http1-requests.ts';
import { createEdgeRouter } from '../routing/router.ts';
import { gatewaySettings } from '../settings.ts';
import { createCors } from './cors.ts';

const origin = 'https://app.example';
const router = createEdgeRouter([{ method: 'GET', path: '/v1/trips' }]);

/** The responses of both servers as a client sees them. */
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
const requestWith = (headers: Record<string, string>, method = 'GET') =>
  createServerRequest({ method, target: '/v1/trips', headers });
const corsOf = ({ headers }: Response) =>
  [...headers].filter(([name]) => name.startsWith('access-control-')).map(([name]) => name);

describe.each(['http1', 'fetch'] as const)('responses of the %s server', (name) => {
  const sendRequest = (allowed: string, headers: Record<string, string>, method?: string) =>
    servers[name](allowed, requestWith(headers, method));

  test('have no CORS headers while no origin is configured', async () => {
    const response = await sendRequest('', { origin });
    expect([corsOf(response), response.headers.get('vary')]).toEqual([[], 'Accept']);
  });

  test('name the allowed origin and keep their Vary header', async () => {
    const response = await sendRequest(`https://ops.example,${origin}`, { origin });
    expect(response.headers.get('access-control-allow-origin')).toBe(origin);
    expect(response.headers.get('vary')).toBe('Accept, Origin');
    expect(response.headers.has('access-control-allow-credentials')).toBe(false);
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
  ])('to the origin %p have only Vary', async (other) => {
    const response = await sendRequest(origin, { origin: other });
    expect([corsOf(response), response.headers.get('vary')]).toEqual([[], 'Accept, Origin']);
  });

  test('to a preflight list methods and headers, but not to a plain OPTIONS', async () => {
    const method = { 'access-control-request-method': 'GET' };
    const preflight = await sendRequest(origin, { origin, ...method }, 'OPTIONS');
    expect(preflight.headers.get('access-control-allow-methods')).toBe('GET, HEAD, OPTIONS');
    expect(preflight.headers.get('access-control-max-age')).toBe('7200');
    const plain = await sendRequest(origin, { origin }, 'OPTIONS');
    expect(plain.headers.has('access-control-allow-methods')).toBe(false);
  });
});

test.each(['https://a.example', 'http://localhost:3000', 'https://a.example, https://b.example:8443', ''])(
  'CORS_ORIGINS accepts %p',
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
])('CORS_ORIGINS rejects %p', (CORS_ORIGINS) =>
  expect(() => loadConfig(gatewaySettings, { CORS_ORIGINS })).toThrow('CORS_ORIGINS is invalid'),
);
