import { afterEach, describe, expect, test } from 'bun:test';
import { until } from '@testing/until.ts';
import { type HttpServer, type ServeOptions, serve, UpgradeResponse } from './server.ts';

let server: HttpServer | undefined;
afterEach(async () => {
  await server?.stop(0);
  server = undefined;
});

function start(options: Partial<ServeOptions>): HttpServer {
  server = serve({
    fetch: () => new Response('here'),
    sockets: [],
    hostname: '127.0.0.1',
    port: 0,
    requestTimeoutMs: 1_000,
    bodyBytesMax: 1_000,
    frameBytesMax: 1_000,
    socketBufferBytesMax: 16_384,
    ...options,
  });
  return server;
}
const echo = () =>
  new UpgradeResponse({
    open: (socket) => void socket.send('open'),
    message: (socket, data) => void socket.send(data),
    close: () => undefined,
  });
const connect = (at: HttpServer, path: string) => new WebSocket(`${at.url.replace('http', 'ws')}${path}`);
const closeOf = (socket: WebSocket) =>
  new Promise<number>((resolve) => socket.addEventListener('close', ({ code }) => resolve(code)));

describe('the server', () => {
  test('answers an uncaught error with a problem without the text of the error', async () => {
    const { url } = start({ fetch: () => Promise.reject(new Error('the secret inside')) });
    const response = await fetch(url);
    expect(response.status).toBe(500);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.text()).not.toContain('secret');
  });

  test('lets a request in flight finish when it stops, and accepts no new one', async () => {
    const response = Promise.withResolvers<Response>();
    let isReceived = false;
    const running = start({
      fetch: () => {
        isReceived = true;
        return response.promise;
      },
    });
    const pending = fetch(running.url);
    await until(() => isReceived);
    const stopped = running.stop(1_000);
    response.resolve(new Response('in time'));
    expect(await (await pending).text()).toBe('in time');
    await stopped;
    expect(await fetch(running.url).catch(() => 'refused')).toBe('refused');
  });
});

describe('a WebSocket', () => {
  test('route that accepts receives frames, and other paths are handled as plain requests', async () => {
    const running = start({ sockets: [{ path: '/live', accept: echo }] });
    const socket = connect(running, '/live');
    const messages: string[] = [];
    socket.onmessage = ({ data }) => void messages.push(String(data));
    await until(() => messages.length === 1);
    socket.send('hello');
    await until(() => messages.join() === 'open,hello');
    socket.close();
    expect(await closeOf(connect(running, '/elsewhere'))).toBe(1006);
  });

  test('route that rejects or fails closes the client instead of hanging', async () => {
    const running = start({
      sockets: [
        { path: '/no', accept: () => new Response('no', { status: 401 }) },
        { path: '/broken', accept: () => Promise.reject(new Error('the secret inside')) },
      ],
    });
    expect(await closeOf(connect(running, '/no'))).toBe(1006);
    expect(await closeOf(connect(running, '/broken'))).toBe(1006);
  });

  test('frame over the limit closes the connection with 1009', async () => {
    const socket = connect(start({ sockets: [{ path: '/live', accept: echo }] }), '/live');
    socket.onopen = () => socket.send('x'.repeat(2_000));
    expect(await closeOf(socket)).toBe(1009);
  });
});
