import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { connect } from 'node:net';
import { NearbyQuery } from '@contracts/drivers.ts';
import { type PersonId, TripPath } from '@contracts/ids.ts';
import { RegisterBody } from '@contracts/people.ts';
import { DeclineBody } from '@contracts/trips.ts';
import { Type } from '@sinclair/typebox';
import { createTestTokens } from '@testing/tokens.ts';
import { Elysia } from 'elysia';
import { systemClock } from '../clock.ts';
import { createIds } from '../ids.ts';
import { createLog } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import { systemRandom } from '../random.ts';
import { createHttpApp } from './app.ts';
import { type HttpServer, serve } from './server.ts';

const ids = createIds(systemClock, systemRandom);
const { guard, bearer } = createTestTokens(systemClock);
const rider = bearer(ids<PersonId>(), 'rider');
const driver = bearer(ids<PersonId>(), 'driver');
const json = { 'content-type': 'application/json', ...rider };
const validPerson = { email: 'an@example.com', password: 'correct horse', name: 'An', role: 'rider' };

let dependencyChecks: Record<string, () => Promise<unknown>> = {};
let isAccepting = true;
let server: HttpServer;

beforeAll(() => {
  const app = createHttpApp({
    service: 'test',
    clock: systemClock,
    ids,
    log: createLog('silent'),
    metrics: createMetrics(),
    isAccepting: () => isAccepting,
    readinessChecks: { store: () => dependencyChecks.store?.() ?? Promise.resolve() },
    accessLog: true,
    bodyBytesMax: 1_000,
  }).use(
    new Elysia({ prefix: '/v1', normalize: false })
      .use(guard)
      .post(
        '/people',
        ({ body, principal, status }) => status(201, { email: body.email, by: principal.id }),
        {
          role: 'rider',
          body: RegisterBody,
        },
      )
      .post('/optional', ({ body }) => ({ ...body }), { open: true, body: Type.Optional(DeclineBody) })
      .post('/none', () => 'done', { open: true })
      .get('/nearby', ({ query }) => ({ ...query }), { open: true, query: NearbyQuery })
      .get('/trips/:id', ({ params }) => ({ id: params.id }), { open: true, params: TripPath })
      .get(
        '/bug',
        () => {
          throw new Error('the secret inside');
        },
        { open: true },
      )
      .get(
        '/unavailable',
        () => {
          throw Object.assign(new Error('10.0.0.7:5432'), { code: 'ECONNREFUSED' });
        },
        { open: true },
      )
      .get('/hang', () => new Promise<string>(() => undefined), { open: true }),
  );
  server = serve({
    fetch: app.fetch,
    sockets: [],
    hostname: '127.0.0.1',
    port: 0,
    requestTimeoutMs: 200,
    bodyBytesMax: 1_000,
    frameBytesMax: 1_000,
    socketBufferBytesMax: 16_384,
  });
});
afterAll(() => server.stop(0));

async function request(path: string, init: RequestInit = {}) {
  const response = await fetch(`${server.url}${path}`, init);
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: text.startsWith('{') ? JSON.parse(text) : undefined,
  };
}
const post = (body: string | ReadableStream, headers: Record<string, string> = json) =>
  request('/v1/people', { method: 'POST', body, headers });

describe('a request body', () => {
  test('that is valid is accepted', async () => {
    expect((await post(JSON.stringify(validPerson))).status).toBe(201);
  });
  test('of malformed JSON is 400 request.malformed as application/problem+json', async () => {
    const { status, body, headers } = await post('{"email":');
    expect([status, body.code]).toEqual([400, 'request.malformed']);
    expect(headers.get('content-type')).toBe('application/problem+json');
  });
  test('with wrong types and unknown fields is 400 with the path of each', async () => {
    const { status, body } = await post(JSON.stringify({ ...validPerson, name: 7, admin: true }));
    expect([status, body.code]).toEqual([400, 'request.invalid']);
    expect(body.errors.map(({ path }: { path: string }) => path).sort()).toEqual(['/admin', '/name']);
  });
  test('of deeply nested brackets is 400', async () => {
    const { status, body } = await post(`{"email":${'['.repeat(400)}${']'.repeat(400)}}`);
    expect([status, body.code, body.detail]).toEqual([400, 'request.invalid', 'nested too deeply']);
  });
  test('is never repeated in the response that rejects it', async () => {
    const { text } = await post(JSON.stringify({ ...validPerson, password: 'hunter2', role: 'ops-please' }));
    expect(text).not.toContain('hunter2');
    expect(text).not.toContain('ops-please');
  });
  test.each(['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data; boundary=x'])(
    'that comes as %s is 415, and nothing of it is repeated',
    async (contentType) => {
      const text = JSON.stringify({ ...validPerson, password: 'hunter2' });
      const answer = await post(text, { 'content-type': contentType });
      expect([answer.status, answer.body.code]).toEqual([415, 'request.media_type_unsupported']);
      expect(answer.text).not.toContain('hunter2');
    },
  );
  test.each(['application/jsonp', 'application/json5', 'application/problem+json', 'application', '', ';'])(
    'of the type %p is 415',
    async (contentType) => {
      const { status, body } = await post(JSON.stringify(validPerson), {
        ...rider,
        'content-type': contentType,
      });
      expect([status, body.code]).toEqual([415, 'request.media_type_unsupported']);
    },
  );
  test.each([
    'Application/JSON',
    'application/json;charset=UTF-8',
    'application/json ; x="y;z"',
    'APPLICATION/JSON;',
  ])('of the type %p is JSON', async (contentType) => {
    expect((await post(JSON.stringify(validPerson), { ...rider, 'content-type': contentType })).status).toBe(
      201,
    );
  });
  test.each([
    ['a byte that never occurs in UTF-8', [0xff]],
    ['a truncated character', [0xe1, 0xbb]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['Latin-1', [0xe9]],
  ])('that is not UTF-8 is 400 request.malformed: %s', async (_, bytes) => {
    const [before = '', after = ''] = JSON.stringify({ ...validPerson, name: '|' }).split('|');
    const sent = Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)]);
    for (const body of [sent, new Blob([sent]).stream()]) {
      const answer = await request('/v1/people', { method: 'POST', headers: json, body });
      expect([answer.status, answer.body.code]).toEqual([400, 'request.malformed']);
    }
  });
  test('with a lone surrogate in any field is 400', async () => {
    const { status, body } = await post('{"email":"an@example.com","password":"12345678\\ud800"}');
    expect([status, body.code]).toEqual([400, 'request.invalid']);
  });
  test.each([
    ['/v1/people', 400],
    ['/v1/optional', 200],
    ['/v1/none', 200],
  ])('that is missing at %s, whether absent, empty or an empty stream, gives %p', async (path, expected) => {
    const empty = () => new ReadableStream({ start: (controller) => controller.close() });
    for (const body of [undefined, '', empty()])
      expect(
        (await request(path, { method: 'POST', headers: json, ...(body === undefined ? {} : { body }) }))
          .status,
      ).toBe(expected);
  });
  test.each([
    ['{', 'request.malformed'],
    ['{"reason":"x"}}', 'request.malformed'],
    ['not JSON', 'request.malformed'],
    ['null', 'request.invalid'],
    ['7', 'request.invalid'],
    ['"reason"', 'request.invalid'],
    ['[]', 'request.invalid'],
    ['[{"reason":"x"}]', 'request.invalid'],
  ])('of %p is rejected, also where a body is optional or not expected', async (text, code) => {
    for (const path of ['/v1/people', '/v1/optional', '/v1/none']) {
      const { status, body } = await request(path, { method: 'POST', headers: json, body: text });
      expect([path, status, body.code]).toEqual([path, 400, code]);
    }
  });
  test('that is optional is validated when it is present', async () => {
    const send = (body: object) =>
      request('/v1/optional', { method: 'POST', headers: json, body: JSON.stringify(body) });
    expect((await send({ reason: ' too  far ' })).body).toEqual({ reason: 'too far' });
    expect((await send({})).body).toEqual({});
    expect((await send({ reason: 7 })).body.code).toBe('request.invalid');
    expect((await send({ other: 1 })).body.code).toBe('request.invalid');
  });
  test('with a very long field name is rejected with the beginning of that name', async () => {
    const { body } = await post(JSON.stringify({ ...validPerson, ['x'.repeat(600)]: 1 }));
    expect(body.errors[0].path).toHaveLength(121);
  });
  test('that is too large is 413, with or without an announced length, by one byte or by many', async () => {
    const padded = (bytes: number) => JSON.stringify(validPerson).padEnd(bytes, ' ');
    const inPieces = (text: string) =>
      new ReadableStream({
        start(controller) {
          for (let from = 0; from < text.length; from += 100)
            controller.enqueue(new TextEncoder().encode(text.slice(from, from + 100)));
          controller.close();
        },
      });
    for (const sent of [padded(1_000), inPieces(padded(1_000))]) expect((await post(sent)).status).toBe(201);
    for (const bytes of [1_001, 1_999, 2_001, 90_000])
      for (const sent of [padded(bytes), inPieces(padded(bytes))]) {
        const { status, body } = await post(sent);
        expect([status, body?.code]).toEqual([413, 'request.too_large']);
      }
  });
});

describe('authentication', () => {
  test('without a token is 401 with WWW-Authenticate', async () => {
    const { status, body, headers } = await post(JSON.stringify(validPerson), {
      'content-type': 'application/json',
    });
    expect([status, body.code, headers.get('www-authenticate')]).toEqual([
      401,
      'auth.token_missing',
      'Bearer',
    ]);
  });
  test('with another role is 403', async () => {
    const { status, body } = await post(JSON.stringify(validPerson), { ...json, ...driver });
    expect([status, body.code]).toEqual([403, 'auth.role_forbidden']);
  });
});

describe('the app', () => {
  test('answers 400 for an invalid number in the query or an invalid id in the path', async () => {
    expect((await request('/v1/nearby?lat=NaN&lng=1')).body.code).toBe('request.invalid');
    expect((await request('/v1/nearby?lat=91&lng=1')).body.code).toBe('request.invalid');
    expect((await request('/v1/trips/one')).body.code).toBe('request.invalid');
  });
  test('answers an exception with 500, a code and a request id, without the text of the exception', async () => {
    const { status, body, text, headers } = await request('/v1/bug');
    expect([status, body.code]).toEqual([500, 'internal.error']);
    expect(text).not.toContain('secret');
    expect(body.requestId).toBe(headers.get('x-request-id'));
  });
  test('answers 503 with Retry-After and without an address when a dependency is unavailable', async () => {
    const { status, body, text, headers } = await request('/v1/unavailable');
    expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'service.unavailable', '1']);
    expect(text).not.toContain('10.0.0.7');
  });
  test('answers 503 after the request timeout when a dependency hangs', async () => {
    expect((await request('/v1/hang')).status).toBe(503);
  });
  test('answers an unknown route with a 404 problem', async () => {
    const { status, body } = await request('/v1/nowhere');
    expect([status, body.code]).toEqual([404, 'request.not_found']);
  });
  test('answers 504 without calling the handler when the deadline has passed', async () => {
    const { status, body } = await request('/v1/nearby?lat=1&lng=1', {
      headers: { 'x-deadline-ms': '1000' },
    });
    expect([status, body.code]).toEqual([504, 'request.deadline_passed']);
  });
  test('keeps serving other requests when one connection sends bytes that are not HTTP', async () => {
    const socket = connect(server.port, '127.0.0.1');
    await new Promise<void>((resolve) => socket.write('\u0000\u0001 nonsense\r\n\r\n', () => resolve()));
    expect((await request('/healthz')).status).toBe(200);
    socket.destroy();
  });
});

describe('an operational route', () => {
  test('/readyz says ready while all dependencies are up and traffic is accepted', async () => {
    expect((await request('/readyz')).body).toMatchObject({
      status: 'ready',
      parts: { store: 'up' },
    });
  });
  test('/readyz says not ready, and /healthz alive, while a dependency is down or the process shuts down', async () => {
    dependencyChecks = { store: () => Promise.reject(new Error('down')) };
    const down = await request('/readyz');
    expect([down.status, down.body.parts.store]).toEqual([503, 'down']);
    expect((await request('/healthz')).status).toBe(200);
    dependencyChecks = {};
    isAccepting = false;
    expect((await request('/readyz')).status).toBe(503);
    isAccepting = true;
  });
  test('/metrics counts requests by route and status', async () => {
    await request('/v1/nearby?lat=1&lng=1');
    expect((await request('/metrics')).text).toContain(
      'http_request_duration_ms_count{service="test",route="/v1/nearby",status="200"}',
    );
  });
});
