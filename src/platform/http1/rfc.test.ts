import { afterEach, describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { sendRawRequest } from '@testing/raw-http.ts';
import { systemClock } from '../clock.ts';
import { toProblem } from '../http/problem.ts';
import { MalformedMessage } from '../http-message/malformed-message.ts';
import { problemReply } from '../http1-edge/problem-reply.ts';
import type { Http1Handler } from './http1-answer.ts';
import { parseResponseHead } from './response-head.ts';
import { type Http1Server, serveHttp1 } from './server.ts';

// Requirements of the RFCs that the other tests of this folder do not cover; README.md lists all tests.

let server: Http1Server | undefined;
afterEach(async () => {
  await server?.stop(0);
  server = undefined;
});

const echo: Http1Handler = async (request) => ({
  status: 200,
  lines: '',
  body: `${request.method} ${request.target} ${await request.body()}`,
});

function urlOf(handle: Http1Handler = echo): string {
  server = serveHttp1({
    hostname: '127.0.0.1',
    port: 0,
    handle,
    toErrorReply: (error) => problemReply(toProblem(error), undefined),
    strippedHeaders: [],
    clock: systemClock,
    requestTimeoutMs: 5_000,
    bodyBytesMax: 1_000,
    connectionsMax: 10,
  });
  return server.url;
}
const send = async (bytes: string, handle?: Http1Handler) => {
  const answer = await sendRawRequest(urlOf(handle), Buffer.from(bytes, 'latin1'), { halfClose: true });
  return [answer?.status, answer?.code ?? answer?.body];
};
/** All bytes received until the server closes the connection. */
const readAll = (bytes: string, handle?: Http1Handler): Promise<string> => {
  const { promise, resolve } = Promise.withResolvers<string>();
  let received = '';
  const { hostname, port } = new URL(urlOf(handle));
  void Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      open: (socket) => void socket.write(bytes),
      data: (_, bytes) => {
        received += bytes.toString('latin1');
      },
      close: () => resolve(received),
    },
  });
  return promise;
};
const statusesIn = (received: string) =>
  [...received.matchAll(/HTTP\/1.1 (\d{3})/g)].map((match) => Number(match[1]));

describe('a request line', () => {
  test('may follow one empty line', async () => {
    expect(await send('\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n')).toEqual([200, 'GET /a ']);
  });

  test('followed by white space before the first header is rejected', async () => {
    expect(await send('GET / HTTP/1.1\r\n Host: a\r\n\r\n')).toEqual([400, 'request.not_http']);
  });

  test.each([
    ['in one piece', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['without end', `GET /${'a'.repeat(100_000)}`],
    ['after an empty line', `\r\nGET /${'a'.repeat(20_000)}`],
  ])('with a target longer than the limit is answered 414: %s', async (_, bytes) => {
    expect(await send(bytes)).toEqual([414, 'request.target_too_long']);
  });

  test('that fits, before headers that do not, is answered 431', async () => {
    const bytes = `GET /${'a'.repeat(8_000)} HTTP/1.1\r\nHost: a\r\nx: ${'v'.repeat(20_000)}\r\n\r\n`;
    expect(await send(bytes)).toEqual([431, 'request.head_too_large']);
  });

  test('with a method of any length reaches the handler, which answers 501', async () => {
    const method = 'A'.repeat(200);
    expect(await send(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`)).toEqual([200, `${method} / `]);
  });

  test.each([
    ['without Host', ''],
    ['with two Host lines', 'Host: a\r\nHost: b\r\n'],
    ['with an invalid Host', 'Host: a b\r\n'],
  ])('with an absolute URL is rejected %s', async (_, hosts) => {
    expect(await send(`GET http://a/ HTTP/1.1\r\n${hosts}\r\n`)).toEqual([400, 'request.not_http']);
  });
});

describe('an answer', () => {
  test('of any kind has one Date, and never both a length and chunks', async () => {
    const stream = () => new Blob(['streamed']).stream();
    const handles: Http1Handler[] = [
      echo,
      () => ({ status: 204, lines: '', body: undefined }),
      () => ({ status: 304, lines: '', body: undefined }),
      () => ({ status: 200, lines: '', body: stream() }),
      () => Promise.reject(new Error('inside')),
    ];
    for (const handle of handles) {
      const received = await readAll('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', handle);
      await server?.stop(0);
      expect(received.match(/\r\ndate: \w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT\r\n/g)).toHaveLength(1);
      const framings = received.match(/\r\n(content-length|transfer-encoding): /g) ?? [];
      expect(framings.length).toBeLessThanOrEqual(1);
    }
  });

  test.each([204, 304])('with %i has no content, no length and no chunks', async (status) => {
    const handle: Http1Handler = () => ({ status, lines: '', body: undefined });
    const received = await readAll('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', handle);
    expect(received).toEndWith('\r\n\r\n');
    expect(received).not.toMatch(/content-length|transfer-encoding/);
  });

  test('is the last one after Connection: close', async () => {
    const get = (target: string, more = '') => `GET ${target} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
    const received = await readAll(get('/one') + get('/two', 'Connection: close\r\n') + get('/three'));
    expect(received).toContain('GET /two');
    expect(received).not.toContain('GET /three');
    expect(received).toContain('connection: close\r\n');
  });
});

describe('an Expect header', () => {
  const post = (version: string, expects: string) =>
    `POST / HTTP/${version}\r\nHost: a\r\nExpect: ${expects}\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok`;

  test('in HTTP/1.0 is ignored, since 1.0 has no interim responses', async () => {
    expect(statusesIn(await readAll(post('1.0', '100-continue')))).toEqual([200]);
  });

  test('that is unknown is ignored', async () => {
    expect(statusesIn(await readAll(post('1.1', 'the-impossible')))).toEqual([200]);
  });

  test('without a body gets only the final answer', async () => {
    const bytes = 'GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n';
    expect(statusesIn(await readAll(bytes))).toEqual([200]);
  });
});

test('the status line of an instance may lack the reason and the space before it', () => {
  expect(parseResponseHead('HTTP/1.1 200 \r\n', 'GET').status).toBe(200);
  expect(parseResponseHead('HTTP/1.1 200\r\n', 'GET').status).toBe(200);
  expect(() => parseResponseHead('HTTP/1.1 20\r\n', 'GET')).toThrow(MalformedMessage);
});

test('every test that README.md names exists', async () => {
  const root = join(import.meta.dir, '../../..');
  const page = await Bun.file(join(import.meta.dir, 'README.md')).text();
  const named = [...page.matchAll(/`([\w./-]+\.test\.ts)`: “([^”]+)”/g)];
  expect(named.length).toBeGreaterThan(60);
  for (const [, file = '', title = ''] of named) {
    const path = file.includes('/') ? join(root, file) : join(import.meta.dir, file);
    const titles = [...(await Bun.file(path).text()).matchAll(/(['"`])((?:(?!\1).)+)\1/g)].map(
      (match) => match[2],
    );
    expect([file, title, titles.includes(title)]).toEqual([file, title, true]);
  }
});
