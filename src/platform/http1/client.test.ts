import { afterEach, describe, expect, test } from 'bun:test';
import { replyToResponse } from '@testing/http1-requests.ts';
import { until } from '@testing/until.ts';
import type { Socket } from 'bun';
import { systemClock } from '../clock.ts';
import { createHttp1Client, type Http1Client } from './client.ts';
import { ExchangeFailure } from './exchange.ts';
import type { OutgoingRequest } from './outgoing-request.ts';
import type { Reply } from './reply.ts';

interface Peer {
  url: string;
  /** All bytes received, over all connections. */
  received(): string;
  connections(): number;
  /** The open connections. */
  sockets: Set<Socket>;
}

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** A server that writes any bytes, each time that a complete request head has arrived. */
function peer(answer: (socket: Socket, received: string) => void): Peer {
  let received = '';
  let connections = 0;
  const sockets = new Set<Socket>();
  const server = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      open(socket) {
        connections++;
        sockets.add(socket);
      },
      data(socket, bytes) {
        received += bytes.toString('latin1');
        if (received.includes('\r\n\r\n')) answer(socket, received);
      },
      close: (socket) => void sockets.delete(socket),
    },
  });
  cleanups.push(() => server.stop(true));
  return {
    url: `http://127.0.0.1:${server.port}`,
    received: () => received,
    connections: () => connections,
    sockets,
  };
}

function clientOf(url: string, connectTimeoutMs = 1_000): Http1Client {
  const client = createHttp1Client({ url, clock: systemClock, connectTimeoutMs });
  cleanups.push(() => client.close());
  return client;
}

const request = (more: Partial<OutgoingRequest> = {}): OutgoingRequest => ({
  method: 'GET',
  target: '/a?b=c',
  lines: '',
  body: undefined,
  isAbandoned: () => false,
  dueMs: systemClock.nowMs() + 5_000,
  ...more,
});

const textOf = async (reply: Promise<Reply>): Promise<string> => replyToResponse(await reply).text();

const ok = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nX-A: 1\r\n\r\n${body}`;

/** How an exchange failed: its reason, and whether the instance may have seen the request. */
async function failureOf(sending: Promise<unknown>): Promise<[string, boolean]> {
  try {
    await sending;
  } catch (error) {
    if (error instanceof ExchangeFailure) return [error.reason, error.wasSent];
    throw error;
  }
  throw new Error('it did not fail');
}

describe('a client connection', () => {
  test('is reused for one request after the other', async () => {
    const server = peer((socket) => void socket.write(ok('hi')));
    const client = clientOf(server.url);
    for (let n = 0; n < 5; n++) expect(await textOf(client.send(request()))).toBe('hi');
    expect([server.connections(), client.connectionCount()]).toEqual([1, 1]);
  });

  test('is not reused after Connection: close, nor after bytes that belong to no response', async () => {
    for (const answer of [
      'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
      `${ok('hi')}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`,
    ]) {
      const server = peer((socket) => void socket.write(answer));
      const client = clientOf(server.url);
      expect(await textOf(client.send(request()))).not.toContain('evil');
      await client.send(request());
      expect(server.connections()).toBe(2);
    }
  });

  test('is closed after the exchange in flight when the instance is retired', async () => {
    let answerNow: () => void = () => undefined;
    const server = peer((socket) => {
      answerNow = () => void socket.write(ok('late'));
    });
    const client = clientOf(server.url);
    const under = client.send(request());
    await until(() => server.received().includes('GET'));
    client.retire();
    answerNow();
    expect(await textOf(under)).toBe('late');
    await until(() => server.sockets.size === 0);
    expect(client.connectionCount()).toBe(0);
  });
});

describe('a sent request', () => {
  test('frames bytes with their length and a stream with its own chunks', async () => {
    const server = peer((socket, received) => {
      if (received.endsWith('abc') || received.endsWith('0\r\n\r\n')) socket.write(ok(''));
    });
    const client = clientOf(server.url);
    await client.send(request({ method: 'POST', body: 'abc', lines: 'x-a: 1\r\n' }));
    expect(server.received()).toBe(
      `POST /a?b=c HTTP/1.1\r\nhost: ${server.url.slice(7)}\r\nx-a: 1\r\ncontent-length: 3\r\n\r\nabc`,
    );
    const body = new Response(new Blob(['hello ', 'world'])).body ?? undefined;
    await client.send(request({ method: 'POST', body }));
    expect(server.received()).toEndWith('transfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n');
  });

  test('never makes a body that breaks off look complete', async () => {
    const server = peer(() => undefined);
    const client = clientOf(server.url);
    const gone = Promise.withResolvers<void>();
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from('half')),
      async pull(controller) {
        await gone.promise;
        controller.error(new Error('client gone'));
      },
    });
    const failure = failureOf(client.send(request({ method: 'POST', body })));
    await until(() => server.received().includes('half'));
    gone.resolve();
    expect(await failure).toEqual(['cancelled', true]);
    await until(() => server.sockets.size === 0);
    expect(server.received()).not.toContain('0\r\n\r\n');
  });

  test('is not written when its method or target could be misread', async () => {
    const server = peer((socket) => void socket.write(ok('')));
    const client = clientOf(server.url);
    for (const bad of [
      { target: '/a b' },
      { target: '/a\r\nx: y' },
      { target: 'http://evil/' },
      { method: 'GET /x' },
      { target: '/\u00e9' },
    ])
      expect(await failureOf(client.send(request(bad)))).toEqual(['malformed', false]);
    expect(server.received()).toBe('');
  });

  test('carries a large body at the pace of the instance', async () => {
    const size = 4 * 1024 * 1024;
    const server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: async (received) => new Response(String((await received.bytes()).length)),
    });
    cleanups.push(() => void server.stop(true));
    const client = clientOf(`http://127.0.0.1:${server.port}`);
    const whole = await client.send(request({ method: 'POST', body: '\0'.repeat(size) }));
    expect(await replyToResponse(whole).text()).toBe(String(size));
    const pieces = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(new Uint8Array(size / 8));
        if (++pulled === 8) controller.close();
      },
    });
    let pulled = 0;
    expect(await textOf(client.send(request({ method: 'POST', body: pieces })))).toBe(String(size));
  });
});

describe('an answer', () => {
  test('of any size and framing arrives unchanged', async () => {
    const bytes = new Uint8Array(3 * 1024 * 1024).map((_, at) => at % 251);
    const server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: ({ url }) => {
        const part = bytes.subarray(0, Number(new URL(url).searchParams.get('bytes')));
        return new Response(url.includes('chunked') ? new Blob([part]).stream() : part);
      },
    });
    cleanups.push(() => void server.stop(true));
    const client = clientOf(`http://127.0.0.1:${server.port}`);
    for (const size of [0, 1, 1_000, 65_536, 65_537, 300_000, bytes.length])
      for (const way of ['length', 'chunked']) {
        const response = await client.send(request({ target: `/${way}?bytes=${size}` }));
        const found = await replyToResponse(response).bytes();
        expect([way, found.length, Buffer.compare(found, bytes.subarray(0, size))]).toEqual([way, size, 0]);
      }
  });

  test('pauses while its reader does, and continues with it', async () => {
    const piece = 'x'.repeat(65_536);
    let written = 0;
    const size = 32 * 1024 * 1024;
    const fill = (socket: Socket) => {
      while (written < size) {
        const taken = socket.write(piece.slice(0, Math.min(piece.length, size - written)));
        written += Math.max(0, taken);
        if (taken < piece.length) return;
      }
    };
    const server = Bun.listen({
      hostname: '127.0.0.1',
      port: 0,
      socket: {
        data(socket) {
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
          fill(socket);
        },
        drain: fill,
      },
    });
    cleanups.push(() => server.stop(true));
    const response = await clientOf(`http://127.0.0.1:${server.port}`).send(request());
    let before = -1;
    await until(() => {
      const still = written === before;
      before = written;
      return still;
    });
    expect(written).toBeLessThan(size);
    expect((await replyToResponse(response).bytes()).length).toBe(size);
  });

  test('that breaks off is an error for its reader', async () => {
    const server = peer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
      socket.flush();
      setTimeout(() => socket.terminate(), 20);
    });
    expect(await failureOf(textOf(clientOf(server.url).send(request())))).toEqual(['lost', true]);
  });

  test('that nobody reads any more is cancelled at the instance', async () => {
    const server = peer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
    });
    const response = await clientOf(server.url).send(request());
    await replyToResponse(response).body?.cancel();
    await until(() => server.sockets.size === 0);
  });
});

describe('an exchange without an answer', () => {
  test('reports that nothing was sent when nobody listens', async () => {
    expect(await failureOf(clientOf('http://127.0.0.1:1').send(request()))).toEqual(['not_connected', false]);
  });

  test('ends after the connect timeout when the instance is unreachable', async () => {
    // No host answers in this network (RFC 5737).
    const client = clientOf('http://192.0.2.1:9', 100);
    expect((await failureOf(client.send(request())))[1]).toBe(false);
  });

  test('reports that the request may have been seen when the connection ends', async () => {
    const server = peer((socket) => void socket.terminate());
    expect(await failureOf(clientOf(server.url).send(request()))).toEqual(['lost', true]);
  });

  test('fails when an answer of known length breaks off', async () => {
    const server = peer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
      setTimeout(() => socket.end(), 10);
    });
    expect(await failureOf(clientOf(server.url).send(request()))).toEqual(['lost', true]);
  });

  test('fails when the answer is not HTTP', async () => {
    const server = peer((socket) => void socket.write('SSH-2.0-OpenSSH\r\n\r\n'));
    expect(await failureOf(clientOf(server.url).send(request()))).toEqual(['malformed', true]);
  });

  test('ends at its deadline together with its connection', async () => {
    const server = peer(() => undefined);
    const sending = clientOf(server.url).send(request({ dueMs: systemClock.nowMs() + 100 }));
    expect(await failureOf(sending)).toEqual(['timed_out', true]);
    await until(() => server.sockets.size === 0);
  });

  test('is cancelled at the instance when the client disconnects', async () => {
    const server = peer(() => undefined);
    const gone = new AbortController();
    const failure = failureOf(clientOf(server.url).send(request({ isAbandoned: () => gone.signal.aborted })));
    await until(() => server.received() !== '');
    gone.abort();
    expect(await failure).toEqual(['cancelled', true]);
    await until(() => server.sockets.size === 0);
  });
});
