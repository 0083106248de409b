import type { Operation, Schema } from './api-document.ts';
import {
  corruptValue,
  hostileText,
  hostileValue,
  marker,
  type RandomPicker,
  randomId,
  validValue,
} from './values.ts';

/** What a case sends, and what may come back. */
export interface FuzzCase {
  kind: string;
  /** For people: the first line, shortened. */
  label: string;
  parts: Iterable<Uint8Array>;
  pauseMs: number;
  isHead: boolean;
  /** Alone on its connection, which is looked at until it ends. */
  needsOwnConnection: boolean;
  /**
   * `api`: HTTP as it should be; answered, refusals as problems, success by `statuses`. `malformed`: the
   * server may end it, or answer 4xx without a body; it takes it for one request at the most. `slow`: ended
   * or refused in time, after the answers to the first `served` requests, which are whole.
   */
  expects:
    | { like: 'api'; statuses: readonly number[] }
    | { like: 'malformed'; mayServe: boolean }
    | { like: 'slow'; served: number };
}

/** Access tokens of people of each role. */
export interface RoleTokens {
  rider: string;
  driver: string;
  ops: string | undefined;
}

const hostileTokens = [
  '',
  marker,
  'e30.e30.e30',
  'eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.e30.',
  `${'a'.repeat(9_000)}.b.c`,
  '..',
  'ünïcödé',
];
const hostileIds = [
  '0',
  '-1',
  'null',
  '%00',
  '..%2f..%2fetc%2fpasswd',
  '%2e%2e',
  '%252e%252e',
  `${marker}%27%20or%201=1`,
  '%F0%9F%9A%95',
  '%ff%fe',
  '\u00e9',
  'a'.repeat(3_000),
];
const hostilePaths = [
  '//v1/trips',
  '/v1//trips',
  '/v1/../v1/trips',
  '/v1/trips/..',
  '/v1/%2e%2e/internal/driver/candidates',
  '/v1/trips/..%2f..%2finternal',
  '/%2e%2e/%2e%2e/etc/passwd',
  '/v1\\trips',
  '/v1/trips\\..\\..\\internal',
  '/internal/driver/candidates',
  '/internal/payment/quotes/1',
  '/V1/TRIPS',
  '/v1/trips/',
  '/v1/trips;jsessionid=1',
  '/v1/trips%00',
  '/v1/trips%20',
  '/v1/tr%69ps',
  `/${marker}`,
  `/v1/${'x/'.repeat(500)}`,
  '/.git/config',
  '/openapi/../metrics',
  '/?',
  '/#',
];
const rawBodies = [
  '',
  '{',
  '[]',
  'null',
  '"text"',
  '7',
  '{"a":1}{"b":2}',
  '{"a":1,}',
  '{"lat":NaN,"lng":Infinity}',
  '{"lat":1e999,"lng":0}',
  '\ufeff{}',
  `{"${'k'.repeat(30_000)}":1}`,
  '['.repeat(20_000),
  `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`,
  `{"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
  `{"x":"${'y'.repeat(66_000)}"}`,
  `{"x":"${'z'.repeat(300_000)}"}`,
  `{"points":[${'{"lat":1,"lng":1},'.repeat(900)}{"lat":1,"lng":1}]}`,
  '\u0000\u0001\u0002',
];
/** In the place of a letter of a body: bytes that are no UTF-8. */
const brokenBytes = [[0xff], [0xe1, 0xbb], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80]];
const contentTypes = [
  'application/json',
  'application/json; charset=utf-16',
  'Application/JSON',
  'application/jsonp',
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/xml',
  '',
  marker,
];
const extraHeaders = [
  ['x-forwarded-for', '127.0.0.1'],
  ['x-service-token', marker],
  ['x-deadline-ms', '0'],
  ['x-deadline-ms', 'NaN'],
  ['x-deadline-ms', '1e400'],
  ['x-deadline-ms', 'abc'],
  ['connection', 'idempotency-key'],
  ['connection', 'authorization, content-type'],
  ['origin', `https://${marker}.example`],
  ['access-control-request-method', 'PUT'],
  ['x-request-id', `${marker} with spaces`],
  ['x-session-token', marker.repeat(30)],
  ['idempotency-key', marker.repeat(40)],
  ['idempotency-key', '\u00e9'],
  ['traceparent', marker],
  ['accept', 'text/html'],
  ['accept-encoding', 'gzip, br, zstd, deflate'],
  ['content-encoding', 'gzip'],
  ['expect', '100-continue'],
  ['host', 'h'],
  ['x-http-method-override', 'DELETE'],
  ['upgrade', 'h2c'],
  ['range', 'bytes=0-99999999'],
] as const;
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY'];

export interface CaseGenerator {
  next(): FuzzCase;
}

export function createApiCases(
  operations: readonly Operation[],
  tokens: RoleTokens,
  dice: RandomPicker,
): CaseGenerator {
  return {
    next() {
      const draw = dice.integer(0, 99);
      if (draw < 6) return strayPath();
      const operation = dice.pick(operations);
      if (draw < 10) return strayMethod(operation);
      return operate(operation);
    },
  };

  function operate({ method, path, parameters, body: schema, statuses }: Operation): FuzzCase {
    const isHostile = dice.chance(0.3);
    const parts = parameters.filter(({ in: place }) => place === 'path');
    const target = parts.reduce(
      (made, { name, schema: shape }) =>
        made.replace(
          `{${name}}`,
          isHostile ? dice.pick(hostileIds) : encodeURIComponent(String(validValue(shape ?? {}, dice))),
        ),
      path,
    );
    const query = queryOf(parameters.filter(({ in: place }) => place === 'query'));
    const sent = schema === undefined ? strayBody(method) : bodyOf(schema);
    return request(`api ${sent.kind}`, method, `${target}${query}`, sent, statuses);
  }

  function queryOf(parameters: Operation['parameters']): string {
    const pairs = parameters.flatMap(({ name, required = false, schema = {} }) => {
      if (!required && dice.chance(0.6)) return [];
      const value = dice.chance(0.6) ? validValue(schema, dice) : hostileValue(dice);
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      return [`${name}=${encodeURIComponent(wellFormed(text.slice(0, 2_000)))}`];
    });
    if (dice.chance(0.1)) pairs.push(`unknown=${marker}`);
    return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
  }

  function bodyOf(schema: Schema): { kind: string; text: string } {
    const valid = validValue(schema, dice);
    const draw = dice.integer(0, 9);
    if (draw < 3) return { kind: 'valid', text: JSON.stringify(valid) };
    if (draw < 8) return { kind: 'nearly valid', text: JSON.stringify(corruptValue(valid, dice)) ?? '' };
    return { kind: 'no such body', text: dice.pick(rawBodies) };
  }

  function strayBody(method: string): { kind: string; text: string | undefined } {
    const text = method !== 'GET' && dice.chance(0.3) ? dice.pick(rawBodies) : undefined;
    return { kind: text === undefined ? 'without body' : 'no such body', text };
  }

  function strayPath(): FuzzCase {
    return request('path', dice.pick(methods), dice.pick(hostilePaths), { text: undefined }, [200, 204]);
  }

  function strayMethod({ path }: Operation): FuzzCase {
    const target = path.replace(/\{\w+\}/g, () => randomId(dice));
    return request('method', dice.pick(methods), target, { text: undefined }, [200, 201, 202, 204]);
  }

  function request(
    kind: string,
    method: string,
    target: string,
    { text }: { text: string | undefined },
    statuses: readonly number[],
  ): FuzzCase {
    const token = tokenFor(target);
    const lines = [`${method} ${target} HTTP/1.1`, 'host: 127.0.0.1'];
    if (token !== undefined) lines.push(`authorization: Bearer ${token}`);
    if (dice.chance(0.15)) lines.push(dice.pick(extraHeaders).join(': '));
    const body = text === undefined ? undefined : bytesOf(text);
    if (body !== undefined) {
      lines.push(`content-type: ${dice.chance(0.9) ? 'application/json' : dice.pick(contentTypes)}`);
      const chunked = dice.chance(0.1);
      lines.push(chunked ? 'transfer-encoding: chunked' : `content-length: ${body.length}`);
      return make(kind, lines, chunked ? inChunks(body) : body);
    }
    return make(kind, lines, undefined);

    function make(name: string, head: readonly string[], payload: Uint8Array | undefined): FuzzCase {
      const bytes = Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'utf8');
      return {
        kind: name,
        label: `${method} ${target}`.slice(0, 160),
        parts: [payload === undefined ? bytes : Buffer.concat([bytes, payload])],
        pauseMs: 0,
        isHead: method === 'HEAD',
        needsOwnConnection: false,
        expects: { like: 'api', statuses },
      };
    }
  }

  function tokenFor(target: string): string | undefined {
    const draw = dice.integer(0, 99);
    if (draw < 10 || endsSessions(target)) return undefined;
    if (draw < 15) return dice.pick(hostileTokens);
    const driver = target.startsWith('/v1/drivers') || draw % 4 === 0;
    const usual = target.startsWith('/v1/ops')
      ? (tokens.ops ?? tokens.rider)
      : driver
        ? tokens.driver
        : tokens.rider;
    return draw < 85 ? usual : dice.pick([tokens.rider, tokens.driver, tokens.ops ?? tokens.rider]);
  }

  function bytesOf(text: string): Buffer {
    const bytes = Buffer.from(wellFormed(text));
    if (bytes.length < 2 || !dice.chance(0.03)) return bytes;
    const at = dice.integer(0, bytes.length - 1);
    return Buffer.concat([
      bytes.subarray(0, at),
      Buffer.from(dice.pick(brokenBytes)),
      bytes.subarray(at + 1),
    ]);
  }

  function inChunks(body: Buffer): Buffer {
    const parts: Buffer[] = [];
    for (let from = 0; from < body.length; ) {
      const part = body.subarray(from, from + dice.integer(1, 8_000));
      parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n'));
      from += part.length;
    }
    return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
  }
}

/** With a good token these would end the sessions that everything else comes in with. */
const endsSessions = (target: string): boolean =>
  target.startsWith('/v1/auth/logout') || target.startsWith('/v1/ops/signing-keys');

/** Texts with lone surrogates can't be sent as they are. */
const wellFormed = (text: string): string => text.toWellFormed();

/** A text fit for a header line of a malformed request. */
export const hostileHeaderText = (dice: RandomPicker): string => hostileText(dice).replace(/[\r\n]/g, '');
