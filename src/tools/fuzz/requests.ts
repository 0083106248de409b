import type { FuzzCase, RoleTokens } from './case.ts';
import { marker, type RandomPicker } from './values.ts';

const hostileTokens = [
  '',
  marker,
  'e30.e30.e30',
  'eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.e30.',
  `${'a'.repeat(9_000)}.b.c`,
  '..',
  'ünïcödé',
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

/** Builds the case of one request: sometimes with a wrong token, a hostile header, chunks or a body that is not UTF-8. */
export type BuildRequest = (
  kind: string,
  method: string,
  target: string,
  body: { text: string | undefined },
  statuses: readonly number[],
) => FuzzCase;

export function createRequestBuilder(tokens: RoleTokens, picker: RandomPicker): BuildRequest {
  return (kind, method, target, { text }, statuses) => {
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
  };

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
export const toWellFormed = (text: string): string => text.toWellFormed();
