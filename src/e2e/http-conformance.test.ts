import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { type PersonClient, signUpDriver, signUpRider } from '@testing/people.ts';
import { type RawRequestOptions, type RawResponse, sendRawRequest } from '@testing/raw-http.ts';
import { type RunningSystem, startSystem } from '@testing/topologies.ts';

// The answers to unusual and malformed requests, by RFC 9110, RFC 9112 and our own contract. The same table
// runs against both topologies over raw connections, so that no client library corrects the requests.

const startTimeoutMs = 60_000;
const appOrigin = 'https://app.example';
const place = { lat: 10.7769, lng: 106.7009 };
const quote = JSON.stringify({ pickup: place, dropoff: { lat: 10.8231, lng: 106.6297 }, product: 'car' });
const name = `{"name":"%"}`;
const tripId = '01a20438-5328-7000-be00-93adcfa25034';
const json = 'content-type: application/json';

/** Whose token the request carries; `nobody` sends none. */
type Caller = 'rider' | 'driver' | 'nobody';
interface Sent {
  as?: Caller;
  /** The request line without its version. */
  line: string;
  version?: string;
  lines?: readonly string[];
  body?: string | Uint8Array;
  chunked?: boolean;
}
interface Expected {
  status: number;
  code?: string;
  headers?: Record<string, string | RegExp | undefined>;
}
type Row = readonly [name: string, sent: Sent, expected: Expected];

const invalid = { status: 400, code: 'request.invalid' };
const malformed = { status: 400, code: 'request.malformed' };
const unsupported = { status: 415, code: 'request.media_type_unsupported' };
const deadlineInvalid = { status: 400, code: 'request.deadline_invalid' };
const post = (path: string, body: string | Uint8Array | undefined, ...lines: string[]): Sent => ({
  line: `POST ${path}`,
  lines,
  ...(body === undefined ? {} : { body }),
});
const get = (path: string, ...lines: string[]): Sent => ({ line: `GET ${path}`, lines });
const put = (body: string, ...lines: string[]): Sent => ({
  as: 'driver',
  line: 'PUT /v1/drivers/me/location',
  lines,
  body,
});
const bytes = (text: string, ...inserted: number[]): Uint8Array => {
  const [before = '', after = ''] = text.split('%');
  return Buffer.concat([Buffer.from(before), Buffer.from(inserted), Buffer.from(after)]);
};
const cursor = (text: string) => Buffer.from(text).toString('base64url');

const versions: readonly Row[] = [
  ['HTTP/1.0 without Host', { ...get('/healthz'), version: '1.0' }, { status: 200 }],
  [
    'HTTP/1.0 without Host, with a token',
    { ...get('/v1/users/me?x'), as: 'rider', version: '1.0' },
    { status: 200 },
  ],
  [
    'HTTP/1.0 without Host, with a body',
    { ...post('/v1/quotes', quote, json), version: '1.0' },
    { status: 201 },
  ],
  [
    'HTTP/1.0 without Host, a position',
    { ...put(JSON.stringify(place), json), version: '1.0' },
    { status: 204 },
  ],
  ['HTTP/1.1 without Host', { ...get('/healthz'), version: '1.1 ' }, { status: 400 }],
  [
    'a target that is an authority',
    { line: 'CONNECT edge:80', as: 'nobody' },
    { status: 400, code: 'request.not_http' },
  ],
  ['an asterisk target', { line: 'OPTIONS *', as: 'nobody' }, { status: 400 }],
  ['a target with a whole URL', { line: 'GET http://edge/healthz', as: 'nobody' }, { status: 200 }],
];

const mediaTypes: readonly Row[] = [
  ['JSON in upper case', post('/v1/quotes', quote, 'content-type: Application/JSON'), { status: 201 }],
  [
    'JSON with parameters',
    post('/v1/quotes', quote, 'content-type: application/json ;charset="UTF-8"'),
    { status: 201 },
  ],
  ['no type', post('/v1/quotes', quote), { status: 201 }],
  [
    'a type that only starts with JSON',
    post('/v1/quotes', quote, 'content-type: application/jsonp'),
    unsupported,
  ],
  ['text', post('/v1/quotes', quote, 'content-type: text/plain'), unsupported],
  ['a form', post('/v1/quotes', quote, 'content-type: application/x-www-form-urlencoded'), unsupported],
  ['an empty type', post('/v1/quotes', quote, 'content-type:'), unsupported],
  [
    'a position with the type in upper case',
    put(JSON.stringify(place), 'content-type: APPLICATION/JSON'),
    { status: 204 },
  ],
  ['a position as JSONP', put(JSON.stringify(place), 'content-type: application/jsonp'), unsupported],
  ['a position as text', put(JSON.stringify(place), 'content-type: text/plain'), unsupported],
];

const bodies: readonly Row[] = [
  ['an empty body', post('/v1/quotes', '', json), invalid],
  ['an empty body in chunks', { ...post('/v1/quotes', '', json), chunked: true }, invalid],
  ['no body', post('/v1/quotes', undefined, json), invalid],
  ['an empty position', put('', json), invalid],
  ['an empty position in chunks', { ...put('', json), chunked: true }, invalid],
  ['a body in chunks', { ...post('/v1/quotes', quote, json), chunked: true }, { status: 201 }],
  [
    'invalid UTF-8',
    { ...post('/v1/users/me', bytes(name, 0xff), json), line: 'PATCH /v1/users/me' },
    malformed,
  ],
  [
    'an incomplete character',
    { ...post('/v1/users/me', bytes(name, 0xe1, 0xbb), json), line: 'PATCH /v1/users/me' },
    malformed,
  ],
  [
    'an overlong character',
    { ...post('/v1/users/me', bytes(name, 0xc0, 0xaf), json), line: 'PATCH /v1/users/me' },
    malformed,
  ],
  [
    'UTF-8',
    { ...post('/v1/users/me', bytes(name, 0xe1, 0xbb, 0x8d), json), line: 'PATCH /v1/users/me' },
    { status: 200 },
  ],
  [
    'an invisible name',
    { ...post('/v1/users/me', '{"name":"\\u200b"}', json), line: 'PATCH /v1/users/me' },
    invalid,
  ],
  [
    'a bidirectional override',
    { ...post('/v1/users/me', '{"name":"a\\u202e"}', json), line: 'PATCH /v1/users/me' },
    invalid,
  ],
  [
    '30 February',
    put(JSON.stringify({ ...place, recordedAt: '2026-02-30T00:00:00Z' }), json),
    { status: 400, code: 'position.time_invalid' },
  ],
  [
    'hour 24',
    put(JSON.stringify({ ...place, recordedAt: '2026-02-01T24:00:00Z' }), json),
    { status: 400, code: 'position.time_invalid' },
  ],
];

const decline = (body: string | undefined): Sent => ({
  ...post(`/v1/trips/${tripId}/decline`, body, json),
  as: 'driver',
});
const tripNotFound = { status: 404, code: 'trip.not_found' };
/** Bodies that are optional, and bodies at routes that take none. */
const optionalBodies: readonly Row[] = [
  ['decline without a body', decline(undefined), tripNotFound],
  ['decline with an empty body', decline(''), tripNotFound],
  ['decline with an empty body in chunks', { ...decline(''), chunked: true }, tripNotFound],
  ['decline with an empty object', decline('{}'), tripNotFound],
  ['decline with a reason', decline('{"reason":"too far"}'), tripNotFound],
  ['decline with an incomplete body', decline('{"reason":'), malformed],
  ['decline with text', decline('too far'), malformed],
  ['decline with null', decline('null'), invalid],
  ['decline with a list', decline('[]'), invalid],
  ['decline with a number', decline('7'), invalid],
  ['decline with an unknown field', decline('{"why":"x"}'), invalid],
  ['decline as text', { ...decline('{}'), lines: ['content-type: text/plain'] }, unsupported],
  [
    'accept with an incomplete body',
    { ...post(`/v1/trips/${tripId}/accept`, '{', json), as: 'driver' },
    malformed,
  ],
  ['accept without a body', { ...post(`/v1/trips/${tripId}/accept`, undefined), as: 'driver' }, tripNotFound],
  ['a ticket with an incomplete body', post('/v1/realtime/ticket', '{', json), malformed],
];

const credentials: readonly Row[] = [
  [
    'two spaces after Bearer',
    { ...get('/v1/users/me', 'authorization: Bearer  %'), as: 'nobody' },
    { status: 200 },
  ],
  [
    'bearer in lower case',
    { ...get('/v1/users/me', 'authorization: bearer %'), as: 'nobody' },
    { status: 200 },
  ],
  [
    'a tab after Bearer',
    { ...get('/v1/users/me', 'authorization: Bearer\t%'), as: 'nobody' },
    { status: 401, code: 'auth.token_missing' },
  ],
  [
    'no space after Bearer',
    { ...get('/v1/users/me', 'authorization: Bearer%'), as: 'nobody' },
    { status: 401, code: 'auth.token_missing' },
  ],
  [
    'Bearer alone',
    { ...get('/v1/users/me', 'authorization: Bearer '), as: 'nobody' },
    { status: 401, code: 'auth.token_missing' },
  ],
  [
    'a token in two parts',
    { ...get('/v1/users/me', 'authorization: Bearer % x'), as: 'nobody' },
    { status: 401, code: 'auth.token_invalid' },
  ],
];

const twice: Row = [
  'two tokens',
  get('/v1/users/me', 'authorization: Bearer %'),
  { status: 401, code: 'auth.token_invalid' },
];

const deadlines: readonly Row[] = [
  ['a deadline of letters', get('/v1/users/me', 'x-deadline-ms: abc'), deadlineInvalid],
  ['an empty deadline', get('/v1/users/me', 'x-deadline-ms:'), deadlineInvalid],
  ['a negative deadline', get('/v1/users/me', 'x-deadline-ms: -1'), deadlineInvalid],
  ['a deadline with a fraction', get('/v1/users/me', 'x-deadline-ms: 1.5'), deadlineInvalid],
  ['an infinite deadline', get('/v1/users/me', 'x-deadline-ms: 1e400'), deadlineInvalid],
  ['two deadlines', get('/v1/users/me', 'x-deadline-ms: 1', 'x-deadline-ms: 2'), deadlineInvalid],
  [
    'a deadline of letters for a position',
    put(JSON.stringify(place), json, 'x-deadline-ms: abc'),
    deadlineInvalid,
  ],
  [
    'a deadline of letters without a token',
    { ...get('/.well-known/jwks.json', 'x-deadline-ms: NaN'), as: 'nobody' },
    deadlineInvalid,
  ],
  [
    'a deadline that has passed',
    get('/v1/users/me', 'x-deadline-ms: 1000'),
    { status: 504, code: 'request.deadline_passed' },
  ],
  ['a deadline ahead', get('/v1/users/me', 'x-deadline-ms: 9999999999999'), { status: 200 }],
];

/** Headers that `Connection` names apply to this hop only: the request is handled as if they were absent. */
const connectionOptions: readonly Row[] = [
  [
    'Connection: authorization',
    get('/v1/users/me', 'connection: authorization'),
    { status: 401, code: 'auth.token_missing' },
  ],
  [
    'Connection: close, Authorization',
    get('/v1/users/me', 'connection: close, Authorization'),
    { status: 401, code: 'auth.token_missing' },
  ],
  [
    'Connection: x-deadline-ms',
    get('/v1/users/me', 'connection: x-deadline-ms', 'x-deadline-ms: abc'),
    { status: 200 },
  ],
  [
    'Connection: content-type',
    post('/v1/quotes', quote, 'content-type: text/plain', 'connection: content-type'),
    { status: 201 },
  ],
  [
    'Connection: content-length',
    post('/v1/quotes', quote, json, 'connection: content-length'),
    { status: 201 },
  ],
  ['Connection: host', get('/v1/users/me', 'connection: host'), { status: 200 }],
];

const cursors: readonly Row[] = [
  ...['/v1/trips', '/v1/payment-methods'].flatMap((path): Row[] => [
    [
      `${path} with a cursor of hyphens`,
      get(`${path}?cursor=${cursor(`1760000000000.${'-'.repeat(36)}`)}`),
      { status: 400, code: 'request.cursor_invalid' },
    ],
    [`${path} with a NUL cursor`, get(`${path}?cursor=%00`), { status: 400, code: 'request.cursor_invalid' }],
    [`${path} with an empty cursor`, get(`${path}?cursor=`), { status: 400, code: 'request.cursor_invalid' }],
    [
      `${path} with a good cursor`,
      get(`${path}?cursor=${cursor(`1760000000000.${tripId}`)}`),
      { status: 200 },
    ],
  ]),
  [
    'earnings with a cursor of hyphens',
    { ...get(`/v1/drivers/me/earnings?cursor=${cursor(`1.${'-'.repeat(36)}`)}`), as: 'driver' },
    { status: 400, code: 'request.cursor_invalid' },
  ],
];

const allow = (...methods: string[]) => ({ headers: { allow: methods.join(', ') } });
const notAllowed = { status: 405, code: 'request.method_not_allowed' };
const unknownMethod = { status: 501, code: 'request.method_unknown' };
const methods: readonly Row[] = [
  [
    'DELETE of a list',
    { line: 'DELETE /v1/trips' },
    { ...notAllowed, ...allow('GET', 'HEAD', 'OPTIONS', 'POST') },
  ],
  ['GET of an action', get(`/v1/trips/${tripId}/accept`), { ...notAllowed, ...allow('OPTIONS', 'POST') }],
  [
    'POST of a position',
    { line: 'POST /v1/drivers/me/location', as: 'driver' },
    { ...notAllowed, ...allow('OPTIONS', 'PUT') },
  ],
  [
    'POST of the key set without a token',
    { line: 'POST /.well-known/jwks.json', as: 'nobody' },
    { ...notAllowed, ...allow('GET', 'HEAD', 'OPTIONS') },
  ],
  [
    'PUT of health',
    { line: 'PUT /healthz', as: 'nobody' },
    { ...notAllowed, ...allow('GET', 'HEAD', 'OPTIONS') },
  ],
  [
    'HEAD of an action',
    { line: `HEAD /v1/trips/${tripId}/accept` },
    { status: 405, ...allow('OPTIONS', 'POST') },
  ],
  [
    'OPTIONS without a token',
    { line: 'OPTIONS /v1/quotes', as: 'nobody' },
    { status: 204, ...allow('OPTIONS', 'POST') },
  ],
  ['OPTIONS of an unknown path', { line: 'OPTIONS /v1/nothing' }, { status: 404, code: 'request.not_found' }],
  ['TRACE', { line: 'TRACE /v1/trips' }, unknownMethod],
  ['PROPFIND', { line: 'PROPFIND /.well-known/jwks.json', as: 'nobody' }, unknownMethod],
  ['an unknown method of an unknown path', { line: 'PURGE /v1/nothing' }, unknownMethod],
  ['a path with a trailing slash', get('/v1/trips/'), { status: 404, code: 'request.not_found' }],
  [
    'an internal path',
    { line: 'POST /internal/driver/candidates' },
    { status: 404, code: 'request.not_found' },
  ],
];

const fromApp = `origin: ${appOrigin}`;
const fromOther = 'origin: https://other.example';
const shared = {
  'access-control-allow-origin': appOrigin,
  vary: 'Origin',
  'access-control-allow-credentials': undefined,
};
const unshared = { 'access-control-allow-origin': undefined, vary: 'Origin' };
const readable = { ...shared, 'access-control-expose-headers': /retry-after.*x-request-id/ };
const preflight = (path: string, method: string, origin: string): Sent => ({
  line: `OPTIONS ${path}`,
  as: 'nobody',
  lines: [
    origin,
    `access-control-request-method: ${method}`,
    'access-control-request-headers: authorization',
  ],
});
const cors: readonly Row[] = [
  [
    'a preflight',
    preflight('/v1/trips', 'POST', fromApp),
    {
      status: 204,
      headers: {
        ...shared,
        'access-control-allow-methods': 'GET, HEAD, OPTIONS, POST',
        'access-control-allow-headers': /authorization, content-type, idempotency-key/,
        'access-control-max-age': '7200',
      },
    },
  ],
  [
    'a preflight for an id',
    preflight(`/v1/trips/${tripId}`, 'GET', fromApp),
    { status: 204, headers: { ...shared, 'access-control-allow-methods': 'GET, HEAD, OPTIONS' } },
  ],
  [
    'a preflight from another origin',
    preflight('/v1/trips', 'POST', fromOther),
    { status: 204, headers: { ...unshared, 'access-control-allow-methods': undefined } },
  ],
  ['a preflight for an unknown path', preflight('/v1/nothing', 'POST', fromApp), { status: 404 }],
  ['an answer', get('/v1/users/me', fromApp), { status: 200, headers: readable }],
  ['an answer to a position', put(JSON.stringify(place), json, fromApp), { status: 204, headers: readable }],
  ['an answer to another origin', get('/v1/users/me', fromOther), { status: 200, headers: unshared }],
  ['an answer to a request without an origin', get('/v1/users/me'), { status: 200, headers: unshared }],
  [
    'an answer to a similar origin',
    get('/v1/users/me', `${fromApp}.evil`),
    { status: 200, headers: unshared },
  ],
  ['an answer to the origin null', get('/v1/users/me', 'origin: null'), { status: 200, headers: unshared }],
  ['a refused token', { ...get('/v1/users/me', fromApp), as: 'nobody' }, { status: 401, headers: readable }],
  ['a refused body', post('/v1/quotes', '{', json, fromApp), { status: 400, headers: readable }],
  [
    'a body that is too large',
    post('/v1/quotes', ' '.repeat(70_000), json, fromApp),
    { status: 413, headers: readable },
  ],
  [
    'a body that is too large, in chunks',
    { ...post('/v1/quotes', ' '.repeat(70_000), json, fromApp), chunked: true },
    { status: 413, headers: readable },
  ],
  ['an unknown path', get('/v1/nothing', fromApp), { status: 404, headers: readable }],
  [
    'a method that is not allowed',
    { line: 'DELETE /v1/trips', lines: [fromApp] },
    { status: 405, headers: readable },
  ],
];

const table = [
  ...versions,
  ...mediaTypes,
  ...bodies,
  ...optionalBodies,
  ...credentials,
  twice,
  ...deadlines,
  ...connectionOptions,
  ...cursors,
  ...methods,
  ...cors,
];

describe.each(['one process, embedded adapters', 'fleet'] as const)('HTTP conformance, %s', (topology) => {
  let system: RunningSystem;
  let rider: PersonClient;
  let driver: PersonClient;
  beforeAll(async () => {
    system = await startSystem(topology, { CORS_ORIGINS: `https://ops.example, ${appOrigin}` });
    rider = await signUpRider(system.url);
    driver = await signUpDriver(system.url, place);
  }, startTimeoutMs);
  afterAll(() => system?.stop(), startTimeoutMs);

  const wireOf = ({
    as = 'rider',
    line,
    version = '1.1',
    lines = [],
    body,
    chunked = false,
  }: Sent): Uint8Array => {
    const payload = body === undefined ? undefined : Buffer.from(body);
    const token = { rider, driver, nobody: rider }[as].session.tokens.accessToken;
    const head = [
      `${line} HTTP/${version.trim()}`,
      ...(version === '1.1' ? ['host: edge'] : []),
      ...(as === 'nobody' ? [] : [`authorization: Bearer ${token}`]),
      ...(payload === undefined
        ? []
        : [chunked ? 'transfer-encoding: chunked' : `content-length: ${payload.length}`]),
      ...lines.map((headerLine) => headerLine.replace('%', token)),
    ];
    return Buffer.concat([
      Buffer.from(`${head.join('\r\n')}\r\n\r\n`),
      ...(payload === undefined ? [] : chunked ? [inChunks(payload)] : [payload]),
    ]);
  };
  const send = (sent: Sent, options: RawRequestOptions = {}) =>
    sendRawRequest(system.url, wireOf(sent), { isHead: sent.line.startsWith('HEAD '), ...options });

  test.each(table)('%s', async (_, sent, { status, code, headers = {} }) => {
    const answer = await send(sent);
    expect([answer?.status, code === undefined ? undefined : answer?.code]).toEqual([status, code]);
    for (const [name, value] of Object.entries(headers)) {
      if (value instanceof RegExp) expect(answer?.headers[name]).toMatch(value);
      else expect([name, answer?.headers[name]]).toEqual([name, value]);
    }
  });

  test('an idempotency key that Connection names is ignored, so two requests are two quotes', async () => {
    const ask = async (...lines: string[]): Promise<unknown> =>
      JSON.parse(
        (await send(post('/v1/quotes', quote, json, 'idempotency-key: the-same', ...lines)))?.body ?? '',
      ).id;
    const named = [await ask('connection: idempotency-key'), await ask('connection: Idempotency-Key')];
    expect(new Set(named).size).toBe(2);
    expect(await ask()).toBe(await ask());
  });

  test('HEAD is answered like GET without a body, at every route that has GET', async () => {
    const paths = await pathsWith('get');
    expect(paths.length).toBeGreaterThan(10);
    for (const path of [
      ...paths,
      '/healthz',
      '/readyz',
      '/openapi',
      '/openapi/json',
      '/asyncapi.json',
      '/openapi/swagger-ui.css',
    ]) {
      const target = path.replace('{id}', tripId).replace('{queue}', 'x');
      const [asGet, asHead] = [await send(get(target)), await send({ line: `HEAD ${target}` })];
      expect([path, asHead?.status, comparable(asHead)]).toEqual([path, asGet?.status, comparable(asGet)]);
      expect(asHead?.headers.date).toMatch(/GMT$/);
      expect(asHead?.body).toBe('');
    }
  });

  test('each path answers an unsupported method with 405 and the supported ones', async () => {
    const { paths } = await document();
    for (const [path, operations] of Object.entries(paths)) {
      const has = Object.keys(operations).map((method) => method.toUpperCase());
      const expected = [...has, 'OPTIONS', ...(has.includes('GET') ? ['HEAD'] : [])];
      const target = path.replace('{id}', tripId).replace('{queue}', 'x');
      const answer = await send({ line: `PATCH ${target}`, as: 'nobody' });
      if (!has.includes('PATCH')) expect([path, answer?.status]).toEqual([path, 405]);
      const allowed = (await send({ line: `OPTIONS ${target}` }))?.headers.allow?.split(', ') ?? [];
      if (!has.includes('PATCH')) expect(answer?.headers.allow?.split(', ')).toEqual(allowed);
      // `redrive` may also be the id of a dead letter, which has its own methods.
      expect([path, expected.filter((method) => !allowed.includes(method))]).toEqual([path, []]);
    }
  });

  // Bun's own server closes such a connection before a handler is called.
  const closedByRuntime: readonly Row[] = [
    ['an unregistered method', { line: 'FOO /.well-known/jwks.json', as: 'nobody' }, unknownMethod],
    ['a lower-case method', { line: 'get /healthz', as: 'nobody' }, unknownMethod],
  ];
  test.each(closedByRuntime)('%s', async (_, sent, { status, code = '' }) => {
    const answer = await send(sent);
    if (topology === 'fleet') expect([answer?.status, answer?.code]).toEqual([status, code]);
    else expect(answer).toBeUndefined();
    expect((await send(get('/.well-known/jwks.json')))?.status).toBe(200);
  });

  test('a client that half-closes its connection reads the answer', async () => {
    const sent: [Sent, number][] = [
      [get('/v1/users/me'), 200],
      [post('/v1/quotes', quote, json), 201],
      [put(JSON.stringify(place), json), 204],
    ];
    for (const [request, status] of sent) {
      const answer = await send(request, { halfClose: true });
      // Bun's own server closes at once if the answer is not ready.
      if (topology === 'fleet') expect([request.line, answer?.status]).toEqual([request.line, status]);
    }
    expect((await send(get('/healthz')))?.status).toBe(200);
  });

  async function document(): Promise<{ paths: Record<string, Record<string, object>> }> {
    return (await fetch(`${system.url}/openapi/json`)).json() as Promise<{
      paths: Record<string, Record<string, object>>;
    }>;
  }
  const pathsWith = async (method: string) =>
    Object.entries((await document()).paths).flatMap(([path, operations]) =>
      method in operations ? [path] : [],
    );
});

/** The headers that GET and HEAD must have in common. */
const comparable = (answer: RawResponse | undefined) =>
  [
    'content-type',
    'content-length',
    'cache-control',
    'allow',
    'www-authenticate',
    'ratelimit-policy',
    'vary',
  ].map((name) => [name, answer?.headers[name]]);

function inChunks(payload: Buffer): Buffer {
  const last = Buffer.from('0\r\n\r\n');
  if (payload.length === 0) return last;
  return Buffer.concat([
    Buffer.from(`${payload.length.toString(16)}\r\n`),
    payload,
    Buffer.from('\r\n'),
    last,
  ]);
}
