import { afterEach, describe, expect, test } from 'bun:test';
import { connect, type Socket } from 'node:net';
import { until } from '@testing/until.ts';
import fc from 'fast-check';
import { createManualClock, systemClock } from '../clock.ts';
import { toProblem } from '../http/problem.ts';
import { problemReply } from '../http1-edge/problem-reply.ts';
import type { Http1Handler } from './http1-answer.ts';
import type { Reply } from './reply.ts';
import { type Http1Server, type Http1ServerOptions, serveHttp1 } from './server.ts';
import type { ServerRequest } from './server-request.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

const bodyBytesMax = 100_000;
const text = (body: string, status = 200): Reply => ({ status, lines: '', body });
/** Repeats the request, so that answers can be distinguished. */
const echo: Http1Handler = async (request) =>
  text(`${request.method} ${request.target} ${await request.body()}`);

function serve(handle: Http1Handler, options: Partial<Http1ServerOptions> = {}): Http1Server {
  const server = serveHttp1({
    hostname: '127.0.0.1',
    port: 0,
    handle,
    toErrorReply: (error) => problemReply(toProblem(error), undefined),
    strippedHeaders: [],
    clock: systemClock,
    requestTimeoutMs: 5_000,
    bodyBytesMax,
    connectionsMax: 1_000,
    ...options,
  });
  cleanups.push(() => server.stop(0));
  return server;
}

interface Peer {
  socket: Socket;
  /** All received bytes. */
  received(): string;
  ended(): boolean;
  /** The complete answers so far, each with its status and body. */
  answers(): { status: number; body: string }[];
}

function connectPeer(server: Http1Server, from = '127.0.0.1'): Peer {
  let received = '';
  let ended = false;
  const socket = connect({ port: server.port, host: '127.0.0.1', localAddress: from });
  socket.setNoDelay(true);
  socket.on('data', (bytes) => {
    received += bytes.toString('latin1');
  });
  socket.on('close', () => {
    ended = true;
  });
  socket.on('error', () => undefined);
  cleanups.push(() => socket.destroy());
  return { socket, received: () => received, ended: () => ended, answers: () => answersIn(received) };
}

function answersIn(received: string): { status: number; body: string }[] {
  const found = [];
  for (let at = 0; ; ) {
    const end = received.indexOf('\r\n\r\n', at);
    if (end < 0) return found;
    const head = received.slice(at, end);
    const length = Number(/content-length: (\d+)/.exec(head)?.[1] ?? 0);
    if (received.length < end + 4 + length) return found;
    found.push({ status: Number(head.slice(9, 12)), body: received.slice(end + 4, end + 4 + length) });
    at = end + 4 + length;
  }
}

const codesOf = (peer: Peer) =>
  peer.answers().map(({ status, body }) => [status, body.startsWith('{') ? JSON.parse(body).code : '']);
const post = (body: string, more = '') =>
  `POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;
const chunked = (...parts: string[]) =>
  `POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${parts
    .map((part) => `${part.length.toString(16)}\r\n${part}\r\n`)
    .join('')}0\r\n\r\n`;
const get = (target: string, more = '') => `GET ${target} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;

describe('requests on one connection', () => {
  test('are answered in order, in whatever pieces they arrive', async () => {
    const server = serve(echo);
    const requests = [get('/one'), post('two'), chunked('thr', 'ee'), post(''), get('/five')];
    const expected = ['GET /one ', 'POST /p two', 'POST /c three', 'POST /p ', 'GET /five '];
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(400), { maxLength: 8 }), async (cuts) => {
        const wire = requests.join('');
        const places = [...new Set([0, ...cuts.map((cut) => cut % wire.length), wire.length])];
        places.sort((a, b) => a - b);
        const peer = connectPeer(server);
        for (const [index, place] of places.slice(1).entries()) {
          await new Promise((resolve) => peer.socket.write(wire.slice(places[index], place), resolve));
          // Separate packets.
          await new Promise((resolve) => setImmediate(resolve));
        }
        await until(() => peer.answers().length === requests.length);
        expect(peer.answers().map(({ body }) => body)).toEqual(expected);
        peer.socket.destroy();
      }),
      { numRuns: 40 },
    );
  });

  test('that arrive together by thousands are answered one after the other', async () => {
    const peer = connectPeer(serve((request) => text(request.target)));
    const count = 5_000;
    peer.socket.write(Array.from({ length: count }, (_, n) => get(`/${n}`)).join(''));
    await until(() => peer.answers().length === count);
    expect(peer.answers().every(({ body }, n) => body === `/${n}`)).toBe(true);
  });

  test('continue after one whose complete body is over the limit', async () => {
    const peer = connectPeer(serve(echo, { bodyBytesMax: 10 }));
    peer.socket.write(post('x'.repeat(11)) + post('small'));
    await until(() => peer.answers().length === 2);
    expect(codesOf(peer)).toEqual([
      [413, 'request.too_large'],
      [200, ''],
    ]);
  });

  test('are never answered after a malformed one', async () => {
    for (const bad of [
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
      'nonsense\r\n\r\n',
    ]) {
      const peer = connectPeer(serve(echo));
      peer.socket.write(bad + get('/smuggled'));
      await until(() => peer.ended());
      expect(codesOf(peer)).toEqual([[400, 'request.not_http']]);
    }
  });

  test('end with 431 when a head never ends', async () => {
    const peer = connectPeer(serve(echo));
    peer.socket.write(`GET / HTTP/1.1\r\nHost: a\r\nx-long: ${'a'.repeat(20_000)}`);
    await until(() => peer.ended());
    expect(codesOf(peer)).toEqual([[431, 'request.head_too_large']]);
  });
});

describe('the body of a request', () => {
  test('is rejected while it is still being sent when it is too large, and the answer can be read', async () => {
    const peer = connectPeer(serve(echo));
    peer.socket.write('POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
    const piece = 'x'.repeat(10_000);
    for (let n = 0; n < 300 && !peer.socket.destroyed; n++)
      await new Promise((resolve) => peer.socket.write(`2710\r\n${piece}\r\n`, resolve));
    await until(() => peer.answers().length === 1);
    expect(codesOf(peer)).toEqual([[413, 'request.too_large']]);
    expect(peer.received()).toContain('connection: close');
  });

  test('is requested with a 100 from a client that waits for it, and only then', async () => {
    const peer = connectPeer(serve(echo));
    peer.socket.write('POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n');
    await until(() => peer.received() !== '');
    expect(peer.received()).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    peer.socket.write('ok');
    await until(() => peer.received().includes('POST /p ok'));

    const refused = connectPeer(serve(() => text('no', 401)));
    refused.socket.write('POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n');
    await until(() => refused.ended());
    expect(refused.received()).toStartWith('HTTP/1.1 401');
  });

  test('can be read as a stream, at the pace of its reader', async () => {
    let size = 0;
    const peer = connectPeer(
      serve(
        async (request) => {
          for await (const part of request.stream()) size += part.length;
          return text('done');
        },
        { bodyBytesMax: 10_000_000 },
      ),
    );
    const body = 'x'.repeat(3_000_000);
    peer.socket.write(post(body));
    await until(() => peer.answers().length === 1);
    expect(size).toBe(body.length);
  });
});

describe('an answer', () => {
  test('to HEAD or with 204 has no body, and the connection is kept', async () => {
    const peer = connectPeer(serve((request) => (request.path === '/none' ? text('', 204) : text('body'))));
    peer.socket.write(`HEAD / HTTP/1.1\r\nHost: a\r\n\r\n${get('/none')}${get('/')}`);
    await until(() => peer.received().endsWith('body'));
    expect(peer.received().match(/HTTP\/1.1 (\d+)/g)).toEqual([
      'HTTP/1.1 200',
      'HTTP/1.1 204',
      'HTTP/1.1 200',
    ]);
    expect(peer.received().match(/body/g)?.length).toBe(1);
  });

  test('that is a stream is sent in chunks, and to HTTP/1.0 until the end of the connection', async () => {
    const server = serve(() => ({ status: 200, lines: '', body: new Blob(['hello']).stream() }));
    const modern = connectPeer(server);
    modern.socket.write(get('/'));
    await until(() => modern.received().endsWith('5\r\nhello\r\n0\r\n\r\n'));
    const old = connectPeer(server);
    old.socket.write('GET / HTTP/1.0\r\n\r\n');
    await until(() => old.ended());
    expect(old.received()).toEndWith('\r\n\r\nhello');
  });

  test('that is a stream never looks complete when the stream breaks off', async () => {
    let pulled = 0;
    const body = () =>
      new ReadableStream<Uint8Array>({
        pull(controller) {
          if (pulled++ === 0) controller.enqueue(Buffer.from('half'));
          else controller.error(new Error('lost'));
        },
      });
    const peer = connectPeer(serve(() => ({ status: 200, lines: '', body: body() })));
    peer.socket.write(get('/'));
    await until(() => peer.ended());
    expect(peer.received()).toContain('half');
    expect(peer.received()).not.toContain('0\r\n\r\n');
  });

  test('that is large arrives completely at a slow reader', async () => {
    const size = 8 * 1024 * 1024;
    const peer = connectPeer(serve(() => text('x'.repeat(size))));
    peer.socket.pause();
    peer.socket.write(get('/') + get('/'));
    await new Promise((resolve) => setImmediate(resolve));
    peer.socket.resume();
    await until(() => peer.answers().length === 2);
    expect(peer.answers().every(({ body }) => body.length === size)).toBe(true);
  });

  test('is created from what a handler throws, and the connection is kept', async () => {
    const peer = connectPeer(
      serve((request) => {
        if (request.path === '/throws') throw new Error('inside');
        return Promise.reject(new Error('inside'));
      }),
    );
    peer.socket.write(get('/throws') + get('/rejects'));
    await until(() => peer.answers().length === 2);
    expect(codesOf(peer)).toEqual([
      [500, 'internal.error'],
      [500, 'internal.error'],
    ]);
    expect(peer.received()).not.toContain('inside');
  });
});

describe('a client that disconnects', () => {
  test('abandons its request, cancels the stream of its answer, and leaves nothing behind', async () => {
    let seen: ServerRequest | undefined;
    let cancelled = false;
    let source: ReadableStreamDefaultController<Uint8Array> | undefined;
    const server = serve((request) => {
      seen = request;
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(Buffer.from('begins'));
          source = controller;
        },
        cancel() {
          cancelled = true;
        },
      });
      return { status: 200, lines: '', body };
    });
    const peer = connectPeer(server);
    peer.socket.write(get('/'));
    await until(() => peer.received().includes('begins'));
    expect(seen?.isAbandoned()).toBe(false);
    peer.socket.destroy();
    // A client that only ended its side looks the same until something is written to it.
    await until(() => {
      if (!cancelled) source?.enqueue(Buffer.from('more'));
      return cancelled && server.connectionCount() === 0;
    });
    expect(seen?.isAbandoned()).toBe(true);
  });

  test('after ending its side abandons its request a second later', async () => {
    const clock = createManualClock(1_700_000_000_000);
    let seen: ServerRequest | undefined;
    const server = serve(
      (request) => {
        seen = request;
        return new Promise<Reply>(() => undefined);
      },
      { clock },
    );
    const peer = connectPeer(server);
    peer.socket.write(get('/'));
    await until(() => seen !== undefined);
    peer.socket.destroy();
    // Well before the request timeout of 5 s.
    for (let n = 0; n < 20; n++) await clock.advance(100);
    await until(() => seen?.isAbandoned() === true && server.connectionCount() === 0);
  });

  test('in the middle of a body ends the wait for it', async () => {
    let failed: unknown;
    const server = serve(async (request) => {
      await Promise.resolve(request.body()).catch((error: unknown) => {
        failed = error;
      });
      return text('nobody reads this');
    });
    const peer = connectPeer(server);
    peer.socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf');
    await until(() => server.connectionCount() === 1);
    peer.socket.end();
    await until(() => failed !== undefined && server.connectionCount() === 0);
  });
});

describe('a client that ends its side and still reads', () => {
  const end = (server: Http1Server, wire: string) => {
    const peer = connectPeer(server);
    peer.socket.end(wire);
    return peer;
  };
  const later = (server: Http1Server, peer: Peer) =>
    until(() => peer.ended() && server.connectionCount() === 0);

  test('gets the answer, also a late one, and then the end of the connection', async () => {
    const answer = Promise.withResolvers<Reply>();
    const server = serve(() => answer.promise);
    const peer = end(server, post('whole'));
    await until(() => server.connectionCount() === 1);
    expect(peer.ended()).toBe(false);
    answer.resolve(text('for you'));
    await later(server, peer);
    expect(peer.answers()).toEqual([{ status: 200, body: 'for you' }]);
    expect(peer.received()).toContain('connection: close');
  });

  test.each([
    ['a 102 and then the answer in HTTP/1.1', '1.1', [102, 200]],
    ['the answer alone in HTTP/1.0, which has no interim responses', '1.0', [200]],
  ])('and waits long gets %s', async (_, version, statuses) => {
    const clock = createManualClock(1_700_000_000_000);
    const answer = Promise.withResolvers<Reply>();
    const server = serve(() => answer.promise, { clock });
    const peer = end(server, `GET / HTTP/${version}\r\nHost: a\r\n\r\n`);
    await until(() => server.connectionCount() === 1);
    for (let n = 0; n < 30; n++) await clock.advance(100);
    answer.resolve(text('for you'));
    await until(() => peer.ended());
    expect([...peer.received().matchAll(/HTTP\/1.1 (\d+)/g)].map((match) => Number(match[1]))).toEqual(
      statuses,
    );
    expect(peer.received()).toEndWith('for you');
  });

  test('gets the answers to all requests sent before', async () => {
    const server = serve(async (request) => {
      await systemClock.sleep(1);
      return text(request.target);
    });
    const peer = end(server, `${get('/1')}${post('x')}${get('/3')}`);
    await later(server, peer);
    expect(peer.answers().map(({ body }) => body)).toEqual(['/1', '/p', '/3']);
  });

  test('gets a large answer completely', async () => {
    const server = serve(() => text('x'.repeat(3_000_000)));
    const peer = end(server, get('/'));
    await later(server, peer);
    expect(peer.answers()[0]?.body.length).toBe(3_000_000);
  });

  test('gets an error for a body that ends early', async () => {
    const server = serve(async (request) => text(await request.body()));
    const peer = end(server, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf');
    await later(server, peer);
    expect(codesOf(peer)).toEqual([[400, 'request.not_http']]);
  });

  test.each([
    ['nothing', ''],
    ['half of a head', 'GET / HTTP/1.1\r\nHost'],
  ])('after sending %s is disconnected', async (_, wire) => {
    const server = serve(echo);
    const peer = end(server, wire);
    await later(server, peer);
    expect(peer.received()).toBe('');
  });
});

describe('a request that takes too long', () => {
  const bounds = [
    ['with an incomplete head', 'GET / HTTP/1.1\r\nHost', 11_000, [[408, 'request.too_slow']]],
    [
      'with an incomplete body',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx',
      6_000,
      [[408, 'request.too_slow']],
    ],
    ['without any byte', '', 11_000, []],
  ] as const;

  test.each(bounds)('%s ends with its connection', async (_, wire, afterMs, expected) => {
    const clock = createManualClock(1_700_000_000_000);
    const server = serve(echo, { clock });
    const peer = connectPeer(server);
    if (wire !== '') peer.socket.write(wire);
    await until(() => server.connectionCount() === 1);
    await until(async () => {
      await clock.advance(afterMs);
      return peer.ended();
    });
    expect(codesOf(peer)).toEqual(expected.map((one) => [...one]));
  });

  test('to answer ends with 503, and its late answer is discarded', async () => {
    const clock = createManualClock(1_700_000_000_000);
    const late = Promise.withResolvers<Reply>();
    const peer = connectPeer(
      serve((request) => (request.path === '/late' ? late.promise : text('next')), { clock }),
    );
    peer.socket.write(get('/late'));
    await until(async () => {
      await clock.advance(1_000);
      return peer.answers().length === 1;
    });
    late.resolve(text('too late'));
    peer.socket.write(get('/next'));
    await until(() => peer.answers().length === 2);
    expect(codesOf(peer)[0]).toEqual([503, 'service.unavailable']);
    expect(peer.answers()[1]?.body).toBe('next');
  });
});

test('a connection over the limit is answered 503, many more are closed, and one that ends makes room for another', async () => {
  const server = serve(echo, { connectionsMax: 2 });
  const [first] = [connectPeer(server), connectPeer(server)];
  await until(() => server.connectionCount() === 2);
  const crowd = Array.from({ length: 300 }, () => connectPeer(server));
  await until(() => crowd.every((peer) => peer.ended()));
  const told = crowd.filter((peer) => peer.received() !== '');
  expect(told.length).toBeGreaterThan(0);
  for (const peer of told) expect(codesOf(peer)).toEqual([[503, 'service.unavailable']]);
  first?.socket.write(get('/still'));
  await until(() => first?.answers()[0]?.body === 'GET /still ');
  first?.socket.destroy();
  await until(() => server.connectionCount() === 1);
  const next = connectPeer(server);
  next.socket.write(get('/next'));
  await until(() => next.answers()[0]?.body === 'GET /next ');
});

test('one address gets at most its share of the connections, and other addresses get theirs', async () => {
  const server = serve(echo, { connectionsMax: 10, connectionsPerAddressMax: 2, hostname: '0.0.0.0' });
  const held = [connectPeer(server), connectPeer(server)];
  await until(() => server.connectionCount() === 2);
  const crowd = Array.from({ length: 30 }, () => connectPeer(server));
  await until(() => crowd.every((peer) => peer.ended()));
  expect(codesOf(crowd[0] ?? connectPeer(server))).toEqual([[503, 'service.unavailable']]);
  const other = connectPeer(server, '127.0.0.2');
  other.socket.write(get('/other'));
  await until(() => other.answers()[0]?.body === 'GET /other ');
  held[0]?.socket.destroy();
  await until(() => server.connectionCount() === 2);
  const next = connectPeer(server);
  next.socket.write(get('/next'));
  await until(() => next.answers()[0]?.body === 'GET /next ');
});

test('a server that stops finishes requests in flight with Connection: close, and ends idle connections', async () => {
  const under = Promise.withResolvers<Reply>();
  const server = serve((request) => (request.path === '/slow' ? under.promise : text('ok')));
  const [idle, busy] = [connectPeer(server), connectPeer(server)];
  idle.socket.write(get('/'));
  busy.socket.write(get('/slow'));
  await until(() => idle.answers().length === 1 && server.connectionCount() === 2);
  const stopped = server.stop(5_000);
  await until(() => idle.ended());
  under.resolve(text('finished'));
  await stopped;
  await until(() => busy.ended());
  expect(busy.received()).toContain('connection: close');
  expect(busy.received()).toEndWith('finished');
});
