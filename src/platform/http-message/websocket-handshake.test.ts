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

test('a handshake as RFC 6455 has it opens a WebSocket', () => {
  expect(isWebSocketHandshake(request())).toBe(true);
  const lists = { upgrade: 'h2c, WebSocket', connection: 'keep-alive, \tUPGRADE' };
  expect(isWebSocketHandshake(request({ fields: lists }))).toBe(true);
});

test.each<[string, Parameters<typeof request>[0]]>([
  ['no Connection: upgrade', { fields: { connection: 'keep-alive' } }],
  ['no Connection at all', { fields: { connection: undefined } }],
  ['another protocol', { fields: { upgrade: 'h2c' } }],
  ['HTTP/1.0', { isHttp11: false }],
  ['another method', { method: 'POST' }],
  ['a body', { bodyBytes: 1 }],
  ['a body in chunks', { bodyBytes: undefined }],
  ['another version', { fields: { 'sec-websocket-version': '8' } }],
  ['no key', { fields: { 'sec-websocket-key': undefined } }],
  ['a key of another length', { fields: { 'sec-websocket-key': 'c2hvcnQ=' } }],
])('%s: an ordinary request', (_, change) => {
  expect(isWebSocketHandshake(request(change))).toBe(false);
});

test('the agreement is the answer to the key (the example of RFC 6455)', () => {
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
