import { afterEach, describe, expect, test } from 'bun:test';
import { connect, type Socket } from 'node:net';
import { until } from '@testing/until.ts';
import fc from 'fast-check';
import { createManualClock, systemClock } from '../clock.ts';
import { problemReply, toProblem } from '../http/problem.ts';
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
/** Tells what was asked, so that answers can be told apart. */
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
  /** All that came. */
  heard(): string;
  ended(): boolean;
  /** The answers that came whole so far, each with its status and body. */
  answers(): { status: number; body: string }[];
}

function peerOf(server: Http1Server, from = '127.0.0.1'): Peer {
  let heard = '';
  let ended = false;
  const socket = connect({ port: server.port, host: '127.0.0.1', localAddress: from });
  socket.setNoDelay(true);
  socket.on('data', (bytes) => {
    heard += bytes.toString('latin1');
  });
  socket.on('close', () => {
    ended = true;
  });
  socket.on('error', () => undefined);
  cleanups.push(() => socket.destroy());
  return { socket, heard: () => heard, ended: () => ended, answers: () => answersIn(heard) };
}

function answersIn(heard: string): { status: number; body: string }[] {
  const found = [];
  for (let at = 0; ; ) {
    const end = heard.indexOf('\r\n\r\n', at);
    if (end < 0) return found;
    const head = heard.slice(at, end);
    const length = Number(/content-length: (\d+)/.exec(head)?.[1] ?? 0);
    if (heard.length < end + 4 + length) return found;
    found.push({ status: Number(head.slice(9, 12)), body: heard.slice(end + 4, end + 4 + length) });
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
  test('are answered in order, in whatever pieces they come', async () => {
    const server = serve(echo);
    const requests = [get('/one'), post('two'), chunked('thr', 'ee'), post(''), get('/five')];
    const expected = ['GET /one ', 'POST /p two', 'POST /c three', 'POST /p ', 'GET /five '];
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(400), { maxLength: 8 }), async (cuts) => {
        const wire = requests.join('');
        const places = [...new Set([0, ...cuts.map((cut) => cut % wire.length), wire.length])];
        places.sort((a, b) => a - b);
        const peer = peerOf(server);
        for (const [index, place] of places.slice(1).entries()) {
          await new Promise((resolve) => peer.socket.write(wire.slice(places[index], place), resolve));
          // Packets of their own.
          await new Promise((resolve) => setImmediate(resolve));
        }
        await until(() => peer.answers().length === requests.length);
        expect(peer.answers().map(({ body }) => body)).toEqual(expected);
        peer.socket.destroy();
      }),
      { numRuns: 40 },
    );
  });

  test('thousands that came together are answered one after the other', async () => {
    const peer = peerOf(serve((request) => text(request.target)));
    const count = 5_000;
    peer.socket.write(Array.from({ length: count }, (_, n) => get(`/${n}`)).join(''));
    await until(() => peer.answers().length === count);
    expect(peer.answers().every(({ body }, n) => body === `/${n}`)).toBe(true);
  });

  test('a body over the limit that came whole is refused, and the next request is heard', async () => {
    const peer = peerOf(serve(echo, { bodyBytesMax: 10 }));
    peer.socket.write(post('x'.repeat(11)) + post('small'));
    await until(() => peer.answers().length === 2);
    expect(codesOf(peer)).toEqual([
      [413, 'request.too_large'],
      [200, ''],
    ]);
  });

  test('what follows a request that cannot be read is never answered', async () => {
    for (const bad of [
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
      'nonsense\r\n\r\n',
    ]) {
      const peer = peerOf(serve(echo));
      peer.socket.write(bad + get('/smuggled'));
      await until(() => peer.ended());
      expect(codesOf(peer)).toEqual([[400, 'request.not_http']]);
    }
  });

  test('a head without end is 431', async () => {
    const peer = peerOf(serve(echo));
    peer.socket.write(`GET / HTTP/1.1\r\nHost: a\r\nx-long: ${'a'.repeat(20_000)}`);
    await until(() => peer.ended());
    expect(codesOf(peer)).toEqual([[431, 'request.head_too_large']]);
  });
});

describe('a body', () => {
  test('that is too large is refused while it is still being sent, and the refusal can be read', async () => {
    const peer = peerOf(serve(echo));
    peer.socket.write('POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
    const piece = 'x'.repeat(10_000);
    for (let n = 0; n < 300 && !peer.socket.destroyed; n++)
      await new Promise((resolve) => peer.socket.write(`2710\r\n${piece}\r\n`, resolve));
    await until(() => peer.answers().length === 1);
    expect(codesOf(peer)).toEqual([[413, 'request.too_large']]);
    expect(peer.heard()).toContain('connection: close');
  });

  test('is sent for where the client waits to hear so, and only then', async () => {
    const peer = peerOf(serve(echo));
    peer.socket.write('POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n');
    await until(() => peer.heard() !== '');
    expect(peer.heard()).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    peer.socket.write('ok');
    await until(() => peer.heard().includes('POST /p ok'));

    const refused = peerOf(serve(() => text('no', 401)));
    refused.socket.write('POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n');
    await until(() => refused.ended());
    expect(refused.heard()).toStartWith('HTTP/1.1 401');
  });

  test('is a stream to who asks for one, at the pace of its reader', async () => {
    let size = 0;
    const peer = peerOf(
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

describe('answers', () => {
  test('to HEAD and with 204 have no body, and the connection goes on', async () => {
    const peer = peerOf(serve((request) => (request.path === '/none' ? text('', 204) : text('body'))));
    peer.socket.write(`HEAD / HTTP/1.1\r\nHost: a\r\n\r\n${get('/none')}${get('/')}`);
    await until(() => peer.heard().endsWith('body'));
    expect(peer.heard().match(/HTTP\/1.1 (\d+)/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 204', 'HTTP/1.1 200']);
    expect(peer.heard().match(/body/g)?.length).toBe(1);
  });

  test('streams go in chunks, to HTTP/1.0 until the end of the connection', async () => {
    const server = serve(() => ({ status: 200, lines: '', body: new Blob(['hello']).stream() }));
    const modern = peerOf(server);
    modern.socket.write(get('/'));
    await until(() => modern.heard().endsWith('5\r\nhello\r\n0\r\n\r\n'));
    const old = peerOf(server);
    old.socket.write('GET / HTTP/1.0\r\n\r\n');
    await until(() => old.ended());
    expect(old.heard()).toEndWith('\r\n\r\nhello');
  });

  test('a stream that breaks off never looks whole', async () => {
    let pulled = 0;
    const body = () =>
      new ReadableStream<Uint8Array>({
        pull(controller) {
          if (pulled++ === 0) controller.enqueue(Buffer.from('half'));
          else controller.error(new Error('lost'));
        },
      });
    const peer = peerOf(serve(() => ({ status: 200, lines: '', body: body() })));
    peer.socket.write(get('/'));
    await until(() => peer.ended());
    expect(peer.heard()).toContain('half');
    expect(peer.heard()).not.toContain('0\r\n\r\n');
  });

  test('large ones arrive whole at a reader who takes his time', async () => {
    const size = 8 * 1024 * 1024;
    const peer = peerOf(serve(() => text('x'.repeat(size))));
    peer.socket.pause();
    peer.socket.write(get('/') + get('/'));
    await new Promise((resolve) => setImmediate(resolve));
    peer.socket.resume();
    await until(() => peer.answers().length === 2);
    expect(peer.answers().every(({ body }) => body.length === size)).toBe(true);
  });

  test('a handler that throws or rejects is answered, and the connection goes on', async () => {
    const peer = peerOf(
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
    expect(peer.heard()).not.toContain('inside');
  });
});

describe('who goes away', () => {
  test('is noticed: the request says so, the stream of the answer is cancelled, nothing is left', async () => {
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
    const peer = peerOf(server);
    peer.socket.write(get('/'));
    await until(() => peer.heard().includes('begins'));
    expect(seen?.isAbandoned()).toBe(false);
    peer.socket.destroy();
    // A client that only sends no more looks the same, until something is written to it.
    await until(() => {
      if (!cancelled) source?.enqueue(Buffer.from('more'));
      return cancelled && server.connectionCount() === 0;
    });
    expect(seen?.isAbandoned()).toBe(true);
  });

  test('while their answer is awaited is noticed a second later: the request says so', async () => {
    const clock = createManualClock(1_700_000_000_000);
    let seen: ServerRequest | undefined;
    const server = serve(
      (request) => {
        seen = request;
        return new Promise<Reply>(() => undefined);
      },
      { clock },
    );
    const peer = peerOf(server);
    peer.socket.write(get('/'));
    await until(() => seen !== undefined);
    peer.socket.destroy();
    // Far from the 5 s after which the request is given up.
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
    const peer = peerOf(server);
    peer.socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf');
    await until(() => server.connectionCount() === 1);
    peer.socket.end();
    await until(() => failed !== undefined && server.connectionCount() === 0);
  });
});

describe('who ends their side of the connection and reads on', () => {
  const end = (server: Http1Server, wire: string) => {
    const peer = peerOf(server);
    peer.socket.end(wire);
    return peer;
  };
  const later = (server: Http1Server, peer: Peer) =>
    until(() => peer.ended() && server.connectionCount() === 0);

  test('gets the answer, also when it comes later, and then the end', async () => {
    const answer = Promise.withResolvers<Reply>();
    const server = serve(() => answer.promise);
    const peer = end(server, post('whole'));
    await until(() => server.connectionCount() === 1);
    expect(peer.ended()).toBe(false);
    answer.resolve(text('for you'));
    await later(server, peer);
    expect(peer.answers()).toEqual([{ status: 200, body: 'for you' }]);
    expect(peer.heard()).toContain('connection: close');
  });

  test.each([
    ['HTTP/1.1 is told that it is worked on, then gets the answer', '1.1', [102, 200]],
    ['HTTP/1.0, which knows no interim answers, gets the answer alone', '1.0', [200]],
  ])('and waits for long: %s', async (_, version, statuses) => {
    const clock = createManualClock(1_700_000_000_000);
    const answer = Promise.withResolvers<Reply>();
    const server = serve(() => answer.promise, { clock });
    const peer = end(server, `GET / HTTP/${version}\r\nHost: a\r\n\r\n`);
    await until(() => server.connectionCount() === 1);
    for (let n = 0; n < 30; n++) await clock.advance(100);
    answer.resolve(text('for you'));
    await until(() => peer.ended());
    expect([...peer.heard().matchAll(/HTTP\/1.1 (\d+)/g)].map((match) => Number(match[1]))).toEqual(statuses);
    expect(peer.heard()).toEndWith('for you');
  });

  test('gets the answers to all that came before', async () => {
    const server = serve(async (request) => {
      await systemClock.sleep(1);
      return text(request.target);
    });
    const peer = end(server, `${get('/1')}${post('x')}${get('/3')}`);
    await later(server, peer);
    expect(peer.answers().map(({ body }) => body)).toEqual(['/1', '/p', '/3']);
  });

  test('gets a large answer whole', async () => {
    const server = serve(() => text('x'.repeat(3_000_000)));
    const peer = end(server, get('/'));
    await later(server, peer);
    expect(peer.answers()[0]?.body.length).toBe(3_000_000);
  });

  test('is told that a body which ends early is none', async () => {
    const server = serve(async (request) => text(await request.body()));
    const peer = end(server, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf');
    await later(server, peer);
    expect(codesOf(peer)).toEqual([[400, 'request.not_http']]);
  });

  test.each([
    ['nothing', ''],
    ['half of a head', 'GET / HTTP/1.1\r\nHost'],
  ])('after %s is let go', async (_, wire) => {
    const server = serve(echo);
    const peer = end(server, wire);
    await later(server, peer);
    expect(peer.heard()).toBe('');
  });
});

describe('who takes too long', () => {
  const bounds = [
    ['a head that never ends', 'GET / HTTP/1.1\r\nHost', 11_000, [[408, 'request.too_slow']]],
    [
      'a body that never comes',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx',
      6_000,
      [[408, 'request.too_slow']],
    ],
    ['nothing at all', '', 11_000, []],
  ] as const;

  test.each(bounds)('%s is ended', async (_, wire, afterMs, expected) => {
    const clock = createManualClock(1_700_000_000_000);
    const server = serve(echo, { clock });
    const peer = peerOf(server);
    if (wire !== '') peer.socket.write(wire);
    await until(() => server.connectionCount() === 1);
    await until(async () => {
      await clock.advance(afterMs);
      return peer.ended();
    });
    expect(codesOf(peer)).toEqual(expected.map((one) => [...one]));
  });

  test('an answer that does not come is given up with 503, and comes too late for anybody', async () => {
    const clock = createManualClock(1_700_000_000_000);
    const late = Promise.withResolvers<Reply>();
    const peer = peerOf(
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

test('one connection too many is told so, a crowd of them is closed, and there is room again when one goes', async () => {
  const server = serve(echo, { connectionsMax: 2 });
  const [first] = [peerOf(server), peerOf(server)];
  await until(() => server.connectionCount() === 2);
  const crowd = Array.from({ length: 300 }, () => peerOf(server));
  await until(() => crowd.every((peer) => peer.ended()));
  const told = crowd.filter((peer) => peer.heard() !== '');
  expect(told.length).toBeGreaterThan(0);
  for (const peer of told) expect(codesOf(peer)).toEqual([[503, 'service.unavailable']]);
  first?.socket.write(get('/still'));
  await until(() => first?.answers()[0]?.body === 'GET /still ');
  first?.socket.destroy();
  await until(() => server.connectionCount() === 1);
  const next = peerOf(server);
  next.socket.write(get('/next'));
  await until(() => next.answers()[0]?.body === 'GET /next ');
});

test('one address gets no more than its share of the connections, and others find theirs', async () => {
  const server = serve(echo, { connectionsMax: 10, connectionsPerAddressMax: 2, hostname: '0.0.0.0' });
  const held = [peerOf(server), peerOf(server)];
  await until(() => server.connectionCount() === 2);
  const crowd = Array.from({ length: 30 }, () => peerOf(server));
  await until(() => crowd.every((peer) => peer.ended()));
  expect(codesOf(crowd[0] ?? peerOf(server))).toEqual([[503, 'service.unavailable']]);
  const other = peerOf(server, '127.0.0.2');
  other.socket.write(get('/other'));
  await until(() => other.answers()[0]?.body === 'GET /other ');
  held[0]?.socket.destroy();
  await until(() => server.connectionCount() === 2);
  const next = peerOf(server);
  next.socket.write(get('/next'));
  await until(() => next.answers()[0]?.body === 'GET /next ');
});

test('a server that stops finishes what is under way, says that it closes, and ends the idle', async () => {
  const under = Promise.withResolvers<Reply>();
  const server = serve((request) => (request.path === '/slow' ? under.promise : text('ok')));
  const [idle, busy] = [peerOf(server), peerOf(server)];
  idle.socket.write(get('/'));
  busy.socket.write(get('/slow'));
  await until(() => idle.answers().length === 1 && server.connectionCount() === 2);
  const stopped = server.stop(5_000);
  await until(() => idle.ended());
  under.resolve(text('finished'));
  await stopped;
  await until(() => busy.ended());
  expect(busy.heard()).toContain('connection: close');
  expect(busy.heard()).toEndWith('finished');
});
