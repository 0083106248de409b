import { expect, test } from 'bun:test';
import {
  acceptsWebSocketHandshake,
  type HandshakeRequest,
  isWebSocketHandshake,
} from './websocket-handshake.ts';

const key = 'dGhlIHNhbXBsZSBub25jZQ==';
const fields = {
  upgrade: 'websocket',
  connection: 'Upgrade',
  'sec-websocket-version': '13',
  'sec-websocket-key': key,
};

function request(change: Partial<HandshakeRequest> & { fields?: Record<string, string | undefined> } = {}) {
  const all: Record<string, string | undefined> = { ...fields, ...change.fields };
  return { method: 'GET', isHttp11: true, bodyBytes: 0, header: (name: string) => all[name], ...change };
}

test('a handshake as in RFC 6455 opens a WebSocket', () => {
  expect(isWebSocketHandshake(request())).toBe(true);
  const lists = { upgrade: 'h2c, WebSocket', connection: 'keep-alive, \tUPGRADE' };
  expect(isWebSocketHandshake(request({ fields: lists }))).toBe(true);
});

test.each<[string, Parameters<typeof request>[0]]>([
  ['without Connection: upgrade', { fields: { connection: 'keep-alive' } }],
  ['without Connection', { fields: { connection: undefined } }],
  ['for another protocol', { fields: { upgrade: 'h2c' } }],
  ['in HTTP/1.0', { isHttp11: false }],
  ['with another method', { method: 'POST' }],
  ['with a body', { bodyBytes: 1 }],
  ['with a chunked body', { bodyBytes: undefined }],
  ['with another version', { fields: { 'sec-websocket-version': '8' } }],
  ['without a key', { fields: { 'sec-websocket-key': undefined } }],
  ['with a key of another length', { fields: { 'sec-websocket-key': 'c2hvcnQ=' } }],
])('an Upgrade request %s is an ordinary request', (_, change) => {
  expect(isWebSocketHandshake(request(change))).toBe(false);
});

test('a 101 accepts the handshake only with the hash of its key (example of RFC 6455)', () => {
  const answer = {
    upgrade: 'websocket',
    connection: 'Upgrade',
    'sec-websocket-accept': 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
  };
  const agrees = (change: Record<string, string>) => {
    const all: Record<string, string> = { ...answer, ...change };
    return acceptsWebSocketHandshake((name) => all[name], key);
  };
  expect(agrees({})).toBe(true);
  expect(agrees({ upgrade: 'h2c' })).toBe(false);
  expect(agrees({ connection: 'close' })).toBe(false);
  expect(agrees({ 'sec-websocket-accept': 'x' })).toBe(false);
});
