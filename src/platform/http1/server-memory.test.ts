import { heapStats } from 'bun:jsc';
import { afterEach, describe, expect, test } from 'bun:test';
import { connect, type Socket } from 'node:net';
import { until } from '@testing/until.ts';
import { systemClock } from '../clock.ts';
import { toProblem } from '../http/problem.ts';
import { problemReply } from '../http1-edge/problem-reply.ts';
import { type Http1Server, serveHttp1 } from './server.ts';

const bodyBytesMax = 64 * 1024;
const connections = 150;
/** How much memory a connection may use before its client is authenticated. */
const bytesMax = 128 * 1024;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function serve(): Http1Server {
  const server = serveHttp1({
    hostname: '127.0.0.1',
    port: 0,
    // As the edge does: the whole body is awaited before the client is authenticated.
    handle: async (request) => {
      if (request.path === '/waits') await new Promise(() => undefined);
      return { status: 200, lines: '', body: await request.body() };
    },
    toErrorReply: (error) => problemReply(toProblem(error), undefined),
    strippedHeaders: [],
    clock: systemClock,
    requestTimeoutMs: 60_000,
    bodyBytesMax,
    connectionsMax: 1_000,
  });
  cleanups.push(() => server.stop(0));
  return server;
}

/** The size of JavaScript objects, including the memory outside the heap that they keep alive. */
function heldBytes(): number {
  Bun.gc(true);
  return heapStats().heapSize;
}

/** The size once the server has read everything from its sockets. */
async function settledBytes(): Promise<number> {
  let before = 0;
  return until(
    () => {
      const now = heldBytes();
      const isSettled = Math.abs(now - before) < before / 1_000;
      before = now;
      return isSettled ? now : undefined;
    },
    { describe: 'stable memory usage' },
  );
}

async function sendTo(server: Http1Server, wire: Buffer): Promise<Socket> {
  const socket = connect(server.port, '127.0.0.1');
  cleanups.push(() => socket.destroy());
  socket.on('error', () => undefined);
  socket.resume();
  await new Promise<void>((resolve) => {
    socket.once('close', resolve);
    socket.write(wire, () => resolve());
  });
  return socket;
}

const chunkedHead = 'POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
const hostile: Record<string, string> = {
  'half of the longest head': `GET / HTTP/1.1\r\nHost: a\r\nx: ${'a'.repeat(15_000)}`,
  'a body in chunks of one byte': `${chunkedHead}${'1\r\nx\r\n'.repeat(60_000)}`,
  'a body in chunks of ten bytes': `${chunkedHead}${'a\r\n0123456789\r\n'.repeat(6_000)}`,
  'megabytes of chunk extensions': `${chunkedHead}${`1;${'a'.repeat(240)}\r\nx\r\n`.repeat(8_000)}`,
  'megabytes of trailers': `${chunkedHead}0\r\n${'x-trailer: value\r\n'.repeat(100_000)}`,
  'a part of a body of known length': `POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n${'x'.repeat(65_000)}`,
  'a body far over the limit': `POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n${'x'.repeat(2_000_000)}`,
  'a megabyte of requests after one that is in flight': `GET /waits HTTP/1.1\r\nHost: a\r\n\r\n${'GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(40_000)}`,
};

describe('a connection keeps little memory when it sends', () => {
  test.each(Object.entries(hostile))('%s', async (_name, text) => {
    const server = serve();
    const wire = Buffer.from(text, 'latin1');
    const before = await settledBytes();
    const peers = await Promise.all(Array.from({ length: connections }, () => sendTo(server, wire)));
    // Rejected connections are closed; pending ones stay open.
    await until(() => peers.every((peer) => peer.closed || peer.writableLength === 0), {
      describe: 'every client to have sent all, or to be cut',
    });
    const perConnection = ((await settledBytes()) - before) / connections;
    expect(perConnection).toBeLessThan(bytesMax);
  });
});
