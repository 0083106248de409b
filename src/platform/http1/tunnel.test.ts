import { afterEach, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { until } from '@testing/until.ts';
import { createManualClock, systemClock } from '../clock.ts';
import { problemReply, toProblem } from '../http/problem.ts';
import { ExchangeFailure } from './exchange.ts';
import { type Http1Server, serveHttp1 } from './server.ts';
import { openTunnel } from './tunnel.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Heard {
  opened: number;
  closed: number;
  messages: (string | Buffer)[];
}

/** An instance that says back what it hears. */
function echoInstance() {
  const heard: Heard = { opened: 0, closed: 0, messages: [] };
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (request, bun) =>
      bun.upgrade(request, { headers: { 'x-said': request.headers.get('x-said') ?? '' } })
        ? undefined
        : new Response('no', { status: 400 }),
    websocket: {
      maxPayloadLength: 64 * 1024 * 1024,
      backpressureLimit: 256 * 1024 * 1024,
      open: () => {
        heard.opened++;
      },
      message(socket, message) {
        heard.messages.push(message);
        socket.send(message);
      },
      close: () => {
        heard.closed++;
      },
    },
  });
  cleanups.push(() => server.stop(true));
  return { url: `http://127.0.0.1:${server.port}`, heard, server };
}

/** A door that passes every request on as a tunnel to the instance. */
function doorTo(url: string): Http1Server {
  const door = serveHttp1({
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
  cleanups.push(() => door.stop(0));
  return door;
}

async function open(door: Http1Server) {
  const socket = new WebSocket(`ws://127.0.0.1:${door.port}/live?x=1`);
  const messages: string[] = [];
  const closes: { code: number; clean: boolean }[] = [];
  socket.addEventListener('message', ({ data }) => messages.push(String(data)));
  socket.addEventListener('close', ({ code, wasClean }) => closes.push({ code, clean: wasClean }));
  cleanups.push(() => socket.close());
  await until(() => socket.readyState === WebSocket.OPEN);
  return { socket, messages, closes };
}

/** An instance of which only the wire is told; `say` answers the head of the handshake. */
async function rawInstance(say: (socket: Socket, head: string) => void) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.once('data', (bytes) => say(socket, bytes.toString('latin1')));
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
  test('passes on messages of any size, both ways and in order', async () => {
    const { url, heard } = echoInstance();
    const { socket, messages } = await open(doorTo(url));
    const sent = [1, 125, 126, 65_535, 65_536, 3_000_000].map((size, n) => `${n}`.repeat(size));
    for (const message of sent) socket.send(message);
    await until(() => messages.length === sent.length);
    expect(messages.map((message) => message.length)).toEqual(sent.map((message) => message.length));
    expect(messages).toEqual(sent);
    expect(heard.opened).toBe(1);
  });

  test('ends at the one side when the other goes away, either of them', async () => {
    const instance = echoInstance();
    const door = doorTo(instance.url);
    const [leaves, stays] = [await open(door), await open(door)];
    leaves.socket.terminate();
    await until(() => instance.heard.closed === 1);
    expect(stays.closes).toEqual([]);
    await instance.server.stop(true);
    await until(() => stays.closes.length === 1);
    await until(() => door.connectionCount() === 0);
  });

  test('holds the instance back while its client does not read, and loses nothing by that', async () => {
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
    const door = doorTo(instance.url);
    const { reader, begin } = slowReader(door);
    // It stops when the buffers on the way are full: far from all of it.
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

  test('tells what the instance answers instead, and fails with what is no answer', async () => {
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

  test('is given up when the instance does not answer in time', async () => {
    const clock = createManualClock(1_700_000_000_000);
    const silent = await rawInstance(() => undefined);
    const failure = tunnelTo(silent.url, clock).catch((error) => error);
    await until(() => silent.sockets.length === 1);
    await clock.advance(2_000);
    expect(await failure).toMatchObject({ reason: 'timed_out' });
    await until(() => silent.sockets.every((socket) => socket.destroyed));
  });

  test('says 1012 when its server stops, behind a whole frame and never inside one', async () => {
    const halfFrame = await rawInstance((socket, head) =>
      socket.write(
        Buffer.concat([Buffer.from(switching(head)), Buffer.from([0x81, 0x05]), Buffer.from('he')]),
      ),
    );
    const quiet = echoInstance();
    const [busyDoor, quietDoor] = [doorTo(halfFrame.url), doorTo(quiet.url)];
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

/** A client that asks for a tunnel and reads nothing until it is told to begin. */
function slowReader(door: Http1Server) {
  const reader = { bytes: 0 };
  let heard = '';
  let inBody = false;
  const socket = Bun.connect({
    hostname: '127.0.0.1',
    port: door.port,
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
        heard += bytes.toString('latin1');
        const end = heard.indexOf('\r\n\r\n');
        if (end < 0) return;
        inBody = true;
        reader.bytes += heard.length - end - 4;
      },
    },
  });
  cleanups.push(async () => (await socket).terminate());
  return { reader, begin: async () => (await socket).resume() };
}
