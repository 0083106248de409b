import { afterEach, beforeEach, expect, test } from 'bun:test';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { until } from '@testing/until.ts';
import { createTcpProxy, type TcpProxy } from './tcp-proxy.ts';

// A server that says in capitals what it was told, and keeps what it heard.

let heard = '';
let server: Server;
let proxy: TcpProxy;
let clients: Socket[];

const listen = async (answer: (text: string) => string): Promise<Server> => {
  const listening = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      heard += bytes.toString();
      socket.write(answer(bytes.toString()));
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  listening.listen(0, '127.0.0.1', resolve);
  await promise;
  return listening;
};
const urlOf = (listening: Server) => {
  const address = listening.address();
  return `tcp://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
};

beforeEach(async () => {
  heard = '';
  clients = [];
  server = await listen((text) => text.toUpperCase());
  proxy = await createTcpProxy(urlOf(server));
});
afterEach(async () => {
  for (const client of clients) client.destroy();
  await proxy.close();
  server.close();
});

function dial() {
  const socket = connect({ host: '127.0.0.1', port: proxy.port });
  clients.push(socket);
  const client = { received: '', isClosed: false, say: (text: string) => socket.write(text) };
  socket.on('data', (bytes) => {
    client.received += bytes.toString();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    client.isClosed = true;
  });
  return client;
}

async function dialled() {
  const client = dial();
  client.say('hello ');
  await until(() => client.received === 'HELLO ');
  return client;
}

test('a swallowed reply: the server acts, the client hears nothing but the end', async () => {
  const client = await dialled();
  proxy.dropNextReply();
  client.say('pay');
  await until(() => client.isClosed);
  expect([heard, client.received]).toEqual(['hello pay', 'HELLO ']);
  await dialled();
});

test('half-open: connections of now stay silent and open, new ones work, and healing ends the silent ones', async () => {
  const old = await dialled();
  proxy.makeHalfOpen();
  old.say('anybody?');
  await dialled();
  expect([old.isClosed, old.received, heard]).toEqual([false, 'HELLO ', 'hello hello ']);
  proxy.resume();
  await until(() => old.isClosed);
  expect(heard).toBe('hello hello ');
});

test('paused: what was said arrives once it goes on', async () => {
  const client = await dialled();
  proxy.pause();
  client.say('later');
  const waiting = dial();
  waiting.say('me too');
  await until(() => proxy.acceptedCount() === 2);
  expect(heard).toBe('hello ');
  proxy.resume();
  await until(() => client.received === 'HELLO LATER' && waiting.received === 'ME TOO');
});

test('down: connections end and new ones are turned away until it goes on', async () => {
  const client = await dialled();
  proxy.refuseConnections();
  await until(() => client.isClosed);
  const refused = dial();
  await until(() => refused.isClosed);
  proxy.resume();
  await dialled();
});

test('retargeted: connections of now end, new ones reach the other server', async () => {
  const client = await dialled();
  const other = await listen((text) => `other: ${text}`);
  proxy.switchTarget(urlOf(other));
  await until(() => client.isClosed);
  const moved = dial();
  moved.say('hello');
  await until(() => moved.received === 'other: hello');
  other.close();
});
