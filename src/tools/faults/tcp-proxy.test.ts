import { afterEach, beforeEach, expect, test } from 'bun:test';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { until } from '@testing/until.ts';
import { createTcpProxy, type TcpProxy } from './tcp-proxy.ts';

// A server that answers in capitals and records what it receives.

let receivedByServer = '';
let server: Server;
let proxy: TcpProxy;
let clients: Socket[];

const listen = async (answer: (text: string) => string): Promise<Server> => {
  const listening = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      receivedByServer += bytes.toString();
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
  receivedByServer = '';
  clients = [];
  server = await listen((text) => text.toUpperCase());
  proxy = await createTcpProxy(urlOf(server));
});
afterEach(async () => {
  for (const client of clients) client.destroy();
  await proxy.close();
  server.close();
});

function openClient() {
  const socket = connect({ host: '127.0.0.1', port: proxy.port });
  clients.push(socket);
  const client = { received: '', isClosed: false, send: (text: string) => socket.write(text) };
  socket.on('data', (bytes) => {
    client.received += bytes.toString();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    client.isClosed = true;
  });
  return client;
}

async function connectClient() {
  const client = openClient();
  client.send('hello ');
  await until(() => client.received === 'HELLO ');
  return client;
}

test('dropNextReply lets the request reach the server and closes the connection instead of replying', async () => {
  const client = await connectClient();
  proxy.dropNextReply();
  client.send('pay');
  await until(() => client.isClosed);
  expect([receivedByServer, client.received]).toEqual(['hello pay', 'HELLO ']);
  await connectClient();
});

test('makeHalfOpen keeps present connections open and silent until resume closes them, while new ones work', async () => {
  const old = await connectClient();
  proxy.makeHalfOpen();
  old.send('anybody?');
  await connectClient();
  expect([old.isClosed, old.received, receivedByServer]).toEqual([false, 'HELLO ', 'hello hello ']);
  proxy.resume();
  await until(() => old.isClosed);
  expect(receivedByServer).toBe('hello hello ');
});

test('pause holds bytes back until resume', async () => {
  const client = await connectClient();
  proxy.pause();
  client.send('later');
  const waiting = openClient();
  waiting.send('me too');
  await until(() => proxy.acceptedCount() === 2);
  expect(receivedByServer).toBe('hello ');
  proxy.resume();
  await until(() => client.received === 'HELLO LATER' && waiting.received === 'ME TOO');
});

test('refuseConnections closes connections and refuses new ones until resume', async () => {
  const client = await connectClient();
  proxy.refuseConnections();
  await until(() => client.isClosed);
  const refused = openClient();
  await until(() => refused.isClosed);
  proxy.resume();
  await connectClient();
});

test('switchTarget closes connections, and new ones reach the other server', async () => {
  const client = await connectClient();
  const other = await listen((text) => `other: ${text}`);
  proxy.switchTarget(urlOf(other));
  await until(() => client.isClosed);
  const moved = openClient();
  moved.send('hello');
  await until(() => moved.received === 'other: hello');
  other.close();
});
