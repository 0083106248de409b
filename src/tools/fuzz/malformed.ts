import type { CaseGenerator, FuzzCase, RoleTokens } from './case.ts';
import { hostileHeaderText } from './cases.ts';
import { marker, type RandomPicker } from './values.ts';

type CaseTemplate = readonly [name: string, make: (picker: RandomPicker, token: string) => string];

const quote = JSON.stringify({
  pickup: { lat: 10.77, lng: 106.7 },
  dropoff: { lat: 10.8, lng: 106.65 },
  product: 'car',
});
const smuggled = `GET /v1/users/me HTTP/1.1\r\nhost: 127.0.0.1\r\nx-smuggled: ${marker}\r\n\r\n`;
const post = (token: string, ...lines: string[]) =>
  [
    'POST /v1/quotes HTTP/1.1',
    'host: 127.0.0.1',
    `authorization: Bearer ${token}`,
    'content-type: application/json',
    ...lines,
    '',
    '',
  ].join('\r\n');
const get = (...lines: string[]) =>
  ['GET /healthz HTTP/1.1', 'host: 127.0.0.1', ...lines, '', ''].join('\r\n');
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

/** Ambiguous framings (request smuggling): none may be accepted or treated as two requests. */
const ambiguousFramings: readonly CaseTemplate[] = [
  [
    'length and chunks',
    (_, token) =>
      post(token, `content-length: ${smuggled.length + 5}`, 'transfer-encoding: chunked') +
      `0\r\n\r\n${smuggled}`,
  ],
  [
    'chunks and length',
    (_, token) => `${post(token, 'transfer-encoding: chunked', 'content-length: 4')}${chunk(quote)}0\r\n\r\n`,
  ],
  [
    'two lengths',
    (_, token) => post(token, 'content-length: 0', `content-length: ${smuggled.length}`) + smuggled,
  ],
  ['a list of lengths', (_, token) => post(token, `content-length: 0, ${smuggled.length}`) + smuggled],
  [
    'two hosts',
    (_, token) => `${post(token, 'host: example.com', `content-length: ${quote.length}`)}${quote}`,
  ],
  ['a negative length', (_, token) => post(token, 'content-length: -1') + quote],
  ['a length with a sign', (_, token) => post(token, `content-length: +${quote.length}`) + quote],
  ['a length in hex', (_, token) => post(token, 'content-length: 0x10') + quote],
  ['a length with a space', (_, token) => post(token, 'content-length: 1 0') + quote],
  ['an endless length', (_, token) => post(token, `content-length: ${'9'.repeat(40)}`) + quote],
  [
    'chunked twice',
    (_, token) => `${post(token, 'transfer-encoding: chunked, chunked')}${chunk(quote)}0\r\n\r\n`,
  ],
  [
    'another coding behind chunks',
    (_, token) => `${post(token, 'transfer-encoding: chunked, identity')}${chunk(quote)}0\r\n\r\n${smuggled}`,
  ],
  [
    'obfuscated chunked',
    (_, token) => `${post(token, 'transfer-encoding: \u000bchunked', 'content-length: 3')}0\r\n`,
  ],
  [
    'chunk of odd size',
    (_, token) => `${post(token, 'transfer-encoding: chunked')}zz\r\n${quote}\r\n0\r\n\r\n`,
  ],
  [
    'chunk of negative size',
    (_, token) => `${post(token, 'transfer-encoding: chunked')}-1\r\nx\r\n0\r\n\r\n`,
  ],
  [
    'chunk size that overflows',
    (_, token) => `${post(token, 'transfer-encoding: chunked')}${'f'.repeat(20)}\r\nx\r\n0\r\n\r\n`,
  ],
  [
    'chunk longer than its size',
    (_, token) => `${post(token, 'transfer-encoding: chunked')}2\r\n${quote}\r\n0\r\n\r\n`,
  ],
];

/** Malformed heads: closed or rejected; accepted only where the RFC lets a server be lenient. */
const malformedHeads: readonly CaseTemplate[] = [
  ['space before the colon', () => get('x-header : 1')],
  ['no colon', () => get('x-header')],
  ['an empty name', () => get(': 1')],
  ['a folded line', () => get('x-header: 1', ' 2')],
  ['NUL in a header', () => get('x-header: a\u0000b')],
  ['control characters in a header', () => get('x-header: a\u0007b')],
  ['CR alone', () => get('x-header: a\rx-smuggled: 1')],
  ['LF alone', () => 'GET /healthz HTTP/1.1\nhost: 127.0.0.1\n\n'],
  [
    'an invalid host',
    (picker) => `GET /v1/trips HTTP/1.1\r\nhost: ${hostileHeaderText(picker)}, x y\r\n\r\n`,
  ],
  ['no host', () => 'GET /healthz HTTP/1.1\r\n\r\n'],
  ['HTTP/0.9', () => 'GET /healthz\r\n\r\n'],
  ['HTTP/3.7', () => 'GET /healthz HTTP/3.7\r\nhost: 127.0.0.1\r\n\r\n'],
  ['the preface of HTTP/2', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['a lower-case method', () => 'get /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n'],
  ['no method', () => ' /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n'],
  ['a long method', () => `${'A'.repeat(9_000)} / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`],
  ['no target', () => 'GET  HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n'],
  ['a space in the target', () => 'GET /health z HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n'],
  ['a target without slash', () => 'GET healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n'],
  ['a long target', () => `GET /${'a'.repeat(40_000)} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`],
  ['CONNECT', () => 'CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: 127.0.0.1:22\r\n\r\n'],
  ['a flood of headers', () => get(...Array.from({ length: 3_000 }, (_, n) => `x-${n}: ${n}`))],
  ['a long header', () => get(`x-header: ${'v'.repeat(40_000)}`)],
  ['TLS', () => '\u0016\u0003\u0001\u0002\u0000\u0001\u0000'],
  [
    'noise',
    (picker) =>
      Array.from({ length: picker.integer(1, 400) }, () => String.fromCharCode(picker.integer(1, 255))).join(
        '',
      ),
  ],
  ['a hostile header', (picker) => get(`x-header: ${hostileHeaderText(picker)}\u0000`)],
];

export function createMalformedCases(tokens: RoleTokens, picker: RandomPicker): CaseGenerator {
  return {
    next() {
      if (picker.chance(0.02)) return headInPieces();
      const isFraming = picker.chance(0.5);
      const [name, make] = picker.pick(isFraming ? ambiguousFramings : malformedHeads);
      return {
        kind: isFraming ? 'framing' : 'head',
        label: name,
        parts: [Buffer.from(make(picker, tokens.rider), 'latin1')],
        pauseMs: 0,
        isHead: false,
        needsOwnConnection: true,
        expects: { like: 'malformed', mayServe: !isFraming },
      };
    },
  };
}

/** A valid head that arrives a few characters at a time must be accepted. */
const headInPieces = (): FuzzCase => ({
  kind: 'slow',
  label: 'a head in small pieces',
  parts: (get('connection: close').match(/.{1,7}/gs) ?? []).map((part) => Buffer.from(part)),
  pauseMs: 5,
  isHead: false,
  needsOwnConnection: true,
  expects: { like: 'api', statuses: [200] },
});
