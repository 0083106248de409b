import { afterEach, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { until } from '@testing/until.ts';
import { createManualClock, systemClock } from '../clock.ts';
import { toProblem } from '../http/problem.ts';
import { problemReply } from '../http1-edge/problem-reply.ts';
import { ExchangeFailure } from './exchange.ts';
import { type Http1Server, serveHttp1 } from './server.ts';
import { openTunnel } from './tunnel.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface ReceivedMessages {
  opened: number;
  closed: number;
  messages: (string | Buffer)[];
}

/** An instance that echoes messages. */
function echoInstance() {
  const received: ReceivedMessages = { opened: 0, closed: 0, messages: [] };
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (request, bun) =>
      bun.upgrade(request, { headers: { 'x-echo': request.headers.get('x-echo') ?? '' } })
        ? undefined
        : new Response('no', { status: 400 }),
    websocket: {
      maxPayloadLength: 64 * 1024 * 1024,
      backpressureLimit: 256 * 1024 * 1024,
      open: () => {
        received.opened++;
      },
      message(socket, message) {
        received.messages.push(message);
        socket.send(message);
      },
      close: () => {
        received.closed++;
      },
    },
  });
  cleanups.push(() => server.stop(true));
  return { url: `http://127.0.0.1:${server.port}`, received, server };
}

/** A gateway that opens a tunnel to the instance for every request. */
function gatewayTo(url: string): Http1Server {
  const gateway = serveHttp1({
    hostname: '127.0.0.1',
    port: 0,
    handle: (request) =>
      openTunnel({
        url,
        target: request.target,
        lines: request.lines,
        key: request.header('sec-websocket-key') ?? '',
        clock: systemClock,
        dueMs: systemClock.nowMs() + 5_000,
      }),
    toErrorReply: (error) => problemReply(toProblem(error), undefined),
    strippedHeaders: [],
    clock: systemClock,
    requestTimeoutMs: 5_000,
    bodyBytesMax: 1_000,
    connectionsMax: 100,
  });
  cleanups.push(() => gateway.stop(0));
  return gateway;
}

async function open(gateway: Http1Server) {
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/live?x=1`);
  const messages: string[] = [];
  const closes: { code: number; clean: boolean }[] = [];
  socket.addEventListener('message', ({ data }) => messages.push(String(data)));
  socket.addEventListener('close', ({ code, wasClean }) => closes.push({ code, clean: wasClean }));
  cleanups.push(() => socket.close());
  await until(() => socket.readyState === WebSocket.OPEN);
  return { socket, messages, closes };
}

/** An instance that writes raw bytes; `reply` answers the head of the handshake. */
async function rawInstance(reply: (socket: Socket, head: string) => void) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.once('data', (bytes) => reply(socket, bytes.toString('latin1')));
  });
  server.listen(0, '127.0.0.1');
  await until(() => server.listening);
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return { url: `http://127.0.0.1:${port}`, sockets };
}

const key = 'dGhlIHNhbXBsZSBub25jZQ==';
const tunnelTo = (url: string, clock = systemClock) =>
  openTunnel({ url, target: '/', lines: '', key, clock, dueMs: clock.nowMs() + 2_000 });

function switching(head: string): string {
  const key = /sec-websocket-key: (\S+)/i.exec(head)?.[1] ?? '';
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  return `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`;
}

describe('a tunnel', () => {
  test('forwards messages of any size, both ways and in order', async () => {
    const { url, received } = echoInstance();
    const { socket, messages } = await open(gatewayTo(url));
    const sent = [1, 125, 126, 65_535, 65_536, 3_000_000].map((size, n) => `${n}`.repeat(size));
    for (const message of sent) socket.send(message);
    await until(() => messages.length === sent.length);
    expect(messages.map((message) => message.length)).toEqual(sent.map((message) => message.length));
    expect(messages).toEqual(sent);
    expect(received.opened).toBe(1);
  });

  test('ends on either side when the other side disconnects', async () => {
    const instance = echoInstance();
    const gateway = gatewayTo(instance.url);
    const [leaves, stays] = [await open(gateway), await open(gateway)];
    leaves.socket.terminate();
    await until(() => instance.received.closed === 1);
    expect(stays.closes).toEqual([]);
    await instance.server.stop(true);
    await until(() => stays.closes.length === 1);
    await until(() => gateway.connectionCount() === 0);
  });

  test('pauses the instance while the client does not read, and loses nothing', async () => {
    const total = 64 * 1024 * 1024;
    const block = Buffer.alloc(64 * 1024, 'x');
    let accepted = 0;
    const instance = await rawInstance((socket, head) => {
      socket.write(switching(head));
      const more = () => {
        while (accepted < total) {
          accepted += block.length;
          if (!socket.write(block)) return;
        }
      };
      socket.on('drain', more);
      more();
    });
    const gateway = gatewayTo(instance.url);
    const { reader, begin } = slowReader(gateway);
    // It stops when the buffers on the path are full, long before the end.
    let before = -1;
    await until(() => {
      const still = accepted > 0 && accepted === before;
      before = accepted;
      return still;
    });
    expect(accepted).toBeLessThan(total / 2);
    begin();
    await until(() => reader.bytes >= total);
    expect(reader.bytes).toBe(total);
  });

  test('returns the answer of an instance that rejects the handshake, and fails on anything else', async () => {
    const refusing = await rawInstance((socket) =>
      socket.end('HTTP/1.1 403 Forbidden\r\nx-why: ticket\r\ncontent-length: 4\r\n\r\nnono'),
    );
    expect(await tunnelTo(refusing.url)).toMatchObject({ status: 403, body: 'nono' });
    const babbling = await rawInstance((socket) => socket.write('SSH-2.0-hello\r\n\r\n'));
    const leaving = await rawInstance((socket) => socket.destroy());
    const agreed = switching(`sec-websocket-key: ${key}`);
    const wrong = [
      agreed.replace('upgrade: websocket', 'x-upgrade: websocket'),
      agreed.replace('upgrade: websocket', 'upgrade: h2c'),
      agreed.replace('connection: Upgrade', 'connection: close'),
      switching('sec-websocket-key: another'),
    ];
    for (const answer of wrong) {
      const { url } = await rawInstance((socket) => socket.write(answer));
      expect(await tunnelTo(url).catch((error) => error)).toMatchObject({ reason: 'malformed' });
    }
    const reasons = [babbling, leaving].map(({ url }) => tunnelTo(url).catch((error) => error));
    expect(
      (await Promise.all(reasons)).map((error) => error instanceof ExchangeFailure && error.reason),
    ).toEqual(['malformed', 'lost']);
    await until(() => babbling.sockets.every((socket) => socket.destroyed));
  });

  test('fails when the instance does not answer in time', async () => {
    const clock = createManualClock(1_700_000_000_000);
    const silent = await rawInstance(() => undefined);
    const failure = tunnelTo(silent.url, clock).catch((error) => error);
    await until(() => silent.sockets.length === 1);
    await clock.advance(2_000);
    expect(await failure).toMatchObject({ reason: 'timed_out' });
    await until(() => silent.sockets.every((socket) => socket.destroyed));
  });

  test('sends 1012 when its server stops, after a complete frame and never inside one', async () => {
    const halfFrame = await rawInstance((socket, head) =>
      socket.write(
        Buffer.concat([Buffer.from(switching(head)), Buffer.from([0x81, 0x05]), Buffer.from('he')]),
      ),
    );
    const quiet = echoInstance();
    const [busyDoor, quietDoor] = [gatewayTo(halfFrame.url), gatewayTo(quiet.url)];
    const [busy, idle] = [await open(busyDoor), await open(quietDoor)];
    const stopped = Promise.all([busyDoor.stop(5_000), quietDoor.stop(5_000)]);
    await until(() => idle.closes.length === 1);
    expect(idle.closes).toEqual([{ code: 1012, clean: true }]);
    expect(busy.closes).toEqual([]);
    halfFrame.sockets[0]?.write('llo');
    await until(() => busy.closes.length === 1);
    expect(busy.messages).toEqual(['hello']);
    expect(busy.closes[0]?.code).toBe(1012);
    await stopped;
  });
});

/** A client that opens a tunnel and reads nothing until it is told to begin. */
function slowReader(gateway: Http1Server) {
  const reader = { bytes: 0 };
  let received = '';
  let inBody = false;
  const socket = Bun.connect({
    hostname: '127.0.0.1',
    port: gateway.port,
    socket: {
      open(one) {
        one.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
        one.pause();
      },
      data(_, bytes) {
        if (inBody) {
          reader.bytes += bytes.length;
          return;
        }
        received += bytes.toString('latin1');
        const end = received.indexOf('\r\n\r\n');
        if (end < 0) return;
        inBody = true;
        reader.bytes += received.length - end - 4;
      },
    },
  });
  cleanups.push(async () => (await socket).terminate());
  return { reader, begin: async () => (await socket).resume() };
}
