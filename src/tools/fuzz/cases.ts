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

/** What a case sends and which responses are expected. */
export interface FuzzCase {
  kind: string;
  /** The shortened request line, for reports. */
  label: string;
  parts: Iterable<Uint8Array>;
  pauseMs: number;
  isHead: boolean;
  /** Sent on its own connection, which is observed until it is closed. */
  needsOwnConnection: boolean;
  /**
   * `api`: valid HTTP; answered with one of `statuses` or a problem. `malformed`: the server may close the connection or
   * answer 4xx without a body, and treats it as at most one request. `slow`: closed or rejected in time, after the
   * responses to the first `served` requests, which are complete.
   */
  expects:
    | { like: 'api'; statuses: readonly number[] }
    | { like: 'malformed'; mayServe: boolean }
    | { like: 'slow'; served: number };
}

/** Access tokens of one person of each role. */
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
/** Byte sequences that are not UTF-8; they replace one byte of a body. */
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
  picker: RandomPicker,
): CaseGenerator {
  return {
    next() {
      const roll = picker.integer(0, 99);
      if (roll < 6) return hostilePathCase();
      const operation = picker.pick(operations);
      if (roll < 10) return wrongMethodCase(operation);
      return operationCase(operation);
    },
  };

  function operationCase({ method, path, parameters, body: schema, statuses }: Operation): FuzzCase {
    const isHostile = picker.chance(0.3);
    const parts = parameters.filter(({ in: location }) => location === 'path');
    const target = parts.reduce(
      (made, { name, schema: shape }) =>
        made.replace(
          `{${name}}`,
          isHostile ? picker.pick(hostileIds) : encodeURIComponent(String(validValue(shape ?? {}, picker))),
        ),
      path,
    );
    const query = queryOf(parameters.filter(({ in: location }) => location === 'query'));
    const sent = schema === undefined ? unexpectedBody(method) : bodyOf(schema);
    return request(`api ${sent.kind}`, method, `${target}${query}`, sent, statuses);
  }

  function queryOf(parameters: Operation['parameters']): string {
    const pairs = parameters.flatMap(({ name, required = false, schema = {} }) => {
      if (!required && picker.chance(0.6)) return [];
      const value = picker.chance(0.6) ? validValue(schema, picker) : hostileValue(picker);
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      return [`${name}=${encodeURIComponent(toWellFormed(text.slice(0, 2_000)))}`];
    });
    if (picker.chance(0.1)) pairs.push(`unknown=${marker}`);
    return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
  }

  function bodyOf(schema: Schema): { kind: string; text: string } {
    const valid = validValue(schema, picker);
    const roll = picker.integer(0, 9);
    if (roll < 3) return { kind: 'valid', text: JSON.stringify(valid) };
    if (roll < 8) return { kind: 'nearly valid', text: JSON.stringify(corruptValue(valid, picker)) ?? '' };
    return { kind: 'unrelated body', text: picker.pick(rawBodies) };
  }

  function unexpectedBody(method: string): { kind: string; text: string | undefined } {
    const text = method !== 'GET' && picker.chance(0.3) ? picker.pick(rawBodies) : undefined;
    return { kind: text === undefined ? 'without body' : 'unrelated body', text };
  }

  function hostilePathCase(): FuzzCase {
    return request('path', picker.pick(methods), picker.pick(hostilePaths), { text: undefined }, [200, 204]);
  }

  function wrongMethodCase({ path }: Operation): FuzzCase {
    const target = path.replace(/\{\w+\}/g, () => randomId(picker));
    return request('method', picker.pick(methods), target, { text: undefined }, [200, 201, 202, 204]);
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
    if (picker.chance(0.15)) lines.push(picker.pick(extraHeaders).join(': '));
    const body = text === undefined ? undefined : encodeBody(text);
    if (body !== undefined) {
      lines.push(`content-type: ${picker.chance(0.9) ? 'application/json' : picker.pick(contentTypes)}`);
      const chunked = picker.chance(0.1);
      lines.push(chunked ? 'transfer-encoding: chunked' : `content-length: ${body.length}`);
      return build(kind, lines, chunked ? encodeChunks(body) : body);
    }
    return build(kind, lines, undefined);

    function build(name: string, head: readonly string[], payload: Uint8Array | undefined): FuzzCase {
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
    const roll = picker.integer(0, 99);
    if (roll < 10 || endsSessions(target)) return undefined;
    if (roll < 15) return picker.pick(hostileTokens);
    const driver = target.startsWith('/v1/drivers') || roll % 4 === 0;
    const matching = target.startsWith('/v1/ops')
      ? (tokens.ops ?? tokens.rider)
      : driver
        ? tokens.driver
        : tokens.rider;
    return roll < 85 ? matching : picker.pick([tokens.rider, tokens.driver, tokens.ops ?? tokens.rider]);
  }

  function encodeBody(text: string): Buffer {
    const bytes = Buffer.from(toWellFormed(text));
    if (bytes.length < 2 || !picker.chance(0.03)) return bytes;
    const offset = picker.integer(0, bytes.length - 1);
    return Buffer.concat([
      bytes.subarray(0, offset),
      Buffer.from(picker.pick(brokenBytes)),
      bytes.subarray(offset + 1),
    ]);
  }

  function encodeChunks(body: Buffer): Buffer {
    const parts: Buffer[] = [];
    for (let from = 0; from < body.length; ) {
      const part = body.subarray(from, from + picker.integer(1, 8_000));
      parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n'));
      from += part.length;
    }
    return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
  }
}

/** With a valid token these would end the login sessions that all other cases use. */
const endsSessions = (target: string): boolean =>
  target.startsWith('/v1/auth/logout') || target.startsWith('/v1/ops/signing-keys');

/** Replaces lone surrogates, which can not be sent. */
const toWellFormed = (text: string): string => text.toWellFormed();

/** A hostile text without line breaks, for a header of a malformed request. */
export const hostileHeaderText = (picker: RandomPicker): string => hostileText(picker).replace(/[\r\n]/g, '');
