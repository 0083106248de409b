import { afterEach, describe, expect, test } from 'bun:test';
import { connect } from 'node:net';
import { until } from '@testing/until.ts';
import { type HttpServer, serve, UpgradeResponse } from './server.ts';

// Checks that the frames of Bun's server follow RFC 6455.

let server: HttpServer | undefined;
afterEach(async () => {
  await server?.stop(0);
  server = undefined;
});

const fin = 0x80;
const opcode = { more: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };
const mask = [1, 2, 3, 4];

/** Encodes a client frame of at most 64 KB. */
function frame(first: number, payload: Uint8Array | string = '', isMasked = true): Buffer {
  const bytes = Buffer.from(payload);
  const length = bytes.length < 126 ? [bytes.length] : [126, bytes.length >> 8, bytes.length & 255];
  length[0] = (length[0] ?? 0) | (isMasked ? 0x80 : 0);
  const sent = isMasked ? bytes.map((byte, at) => byte ^ (mask[at % 4] ?? 0)) : bytes;
  return Buffer.concat([Buffer.from([first, ...length, ...(isMasked ? mask : [])]), sent]);
}

/** Sends frames on a new connection to an echo server, and collects what it sends after the 101. */
async function openConversation(...frames: Buffer[]) {
  server ??= serve({
    fetch: () => new Response('here'),
    sockets: [
      {
        path: '/live',
        accept: () =>
          new UpgradeResponse({
            open: () => undefined,
            message: (socket, data) => void socket.send(data),
            close: () => undefined,
          }),
      },
    ],
    ...{ hostname: '127.0.0.1', port: 0, requestTimeoutMs: 1_000, bodyBytesMax: 1_000 },
    ...{ frameBytesMax: 1_000, socketBufferBytesMax: 65_536 },
  });
  let received: Buffer = Buffer.alloc(0);
  let isClosed = false;
  const socket = connect(server.port, '127.0.0.1');
  socket.on('data', (bytes: Buffer) => {
    received = Buffer.concat([received, bytes]);
  });
  socket.on('close', () => {
    isClosed = true;
  });
  socket.on('error', () => undefined);
  socket.write(
    'GET /live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await until(() => received.includes('\r\n\r\n'));
  const head = received.toString('latin1', 0, received.indexOf('\r\n\r\n'));
  const bodyStart = received.indexOf('\r\n\r\n') + 4;
  for (const bytes of frames) socket.write(bytes);
  return {
    head,
    frames: () => received.subarray(bodyStart),
    isClosed: () => isClosed,
    end: () => socket.destroy(),
  };
}

test('the 101 has Upgrade, Connection and the accept value for the key', async () => {
  const { head, end } = await openConversation();
  expect(head).toStartWith('HTTP/1.1 101 ');
  expect(head).toMatch(/^upgrade: websocket$/im);
  expect(head).toMatch(/^connection: upgrade$/im);
  expect(head).toMatch(/^sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=$/im);
  end();
});

test('no frame of a server is masked', async () => {
  const { frames, end } = await openConversation(frame(fin | opcode.text, 'hello'));
  await until(() => frames().length === 7);
  expect([...frames().subarray(0, 2)]).toEqual([fin | opcode.text, 5]);
  end();
});

test('a fragmented message with a ping between its fragments is one message', async () => {
  const { frames, end } = await openConversation(
    frame(opcode.text, 'he'),
    frame(fin | opcode.ping, 'p'),
    frame(opcode.more, 'l'),
    frame(fin | opcode.more, 'lo'),
  );
  await until(() => frames().length === 3 + 7);
  expect(frames().toString('latin1')).toBe('\x8a\x01p\x81\x05hello');
  end();
});

test('a ping is answered by a pong with the same payload, and a pong is not answered', async () => {
  const { frames, end } = await openConversation(
    frame(fin | opcode.pong, 'unasked'),
    frame(fin | opcode.ping, 'are you there'),
  );
  await until(() => frames().length > 0);
  expect(frames().toString('latin1')).toBe('\x8a\x0dare you there');
  end();
});

test('a close is answered by a close with the same code, then the connection ends', async () => {
  const { frames, isClosed } = await openConversation(frame(fin | opcode.close, Buffer.from([0x03, 0xe8])));
  await until(isClosed);
  expect([...frames()]).toEqual([fin | opcode.close, 2, 0x03, 0xe8]);
});

describe('a protocol violation ends the connection and is not delivered as a message', () => {
  const broken: Record<string, Buffer[]> = {
    'a frame that is not masked': [frame(fin | opcode.text, 'x', false)],
    'a reserved bit': [frame(fin | 0x40 | opcode.text, 'x')],
    'a reserved opcode of data': [frame(fin | 3, 'x')],
    'a reserved opcode of control': [frame(fin | 11, 'x')],
    'a fragmented control frame': [frame(opcode.ping, 'x')],
    'a control frame over 125 bytes': [frame(fin | opcode.ping, 'x'.repeat(126))],
    'a continuation without a message': [frame(fin | opcode.more, 'x')],
    'a new message inside another': [frame(opcode.text, 'x'), frame(fin | opcode.text, 'y')],
    'text that is not UTF-8': [frame(fin | opcode.text, Buffer.from([0xff, 0xfe]))],
    'a close with a truncated code': [frame(fin | opcode.close, Buffer.from([0x03]))],
    'a message over the limit': [frame(fin | opcode.text, 'x'.repeat(1_001))],
  };

  test.each(Object.entries(broken))('%s', async (_, frames) => {
    const { frames: received, isClosed } = await openConversation(...frames);
    await until(isClosed);
    expect(received().length === 0 || received()[0] === (fin | opcode.close)).toBe(true);
  });
});
