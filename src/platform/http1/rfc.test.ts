import { afterEach, describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { sendRawRequest } from '@testing/raw-http.ts';
import { systemClock } from '../clock.ts';
import { problemReply, toProblem } from '../http/problem.ts';
import { MalformedMessage } from '../http-message/malformed-message.ts';
import type { Http1Handler } from './http1-answer.ts';
import { parseResponseHead } from './response-head.ts';
import { type Http1Server, serveHttp1 } from './server.ts';

// What the RFCs require beyond what the other tests of this folder hold; README.md names all of them.

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
const ask = async (wire: string, handle?: Http1Handler) => {
  const answer = await sendRawRequest(urlOf(handle), Buffer.from(wire, 'latin1'), { halfClose: true });
  return [answer?.status, answer?.code ?? answer?.body];
};
/** All that comes back until the server ends the connection. */
const allOf = (wire: string, handle?: Http1Handler): Promise<string> => {
  const { promise, resolve } = Promise.withResolvers<string>();
  let heard = '';
  const { hostname, port } = new URL(urlOf(handle));
  void Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      open: (socket) => void socket.write(wire),
      data: (_, bytes) => {
        heard += bytes.toString('latin1');
      },
      close: () => resolve(heard),
    },
  });
  return promise;
};
const statusesIn = (heard: string) =>
  [...heard.matchAll(/HTTP\/1.1 (\d{3})/g)].map((match) => Number(match[1]));

describe('the first line of a request', () => {
  test('may come after one empty line', async () => {
    expect(await ask('\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n')).toEqual([200, 'GET /a ']);
  });

  test('with white space after it, before the first header, is refused', async () => {
    expect(await ask('GET / HTTP/1.1\r\n Host: a\r\n\r\n')).toEqual([400, 'request.not_http']);
  });

  test.each([
    ['in one piece', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['without end', `GET /${'a'.repeat(100_000)}`],
    ['after an empty line', `\r\nGET /${'a'.repeat(20_000)}`],
  ])('with a target longer than we read is 414: %s', async (_, wire) => {
    expect(await ask(wire)).toEqual([414, 'request.target_too_long']);
  });

  test('that fits, before headers that do not, is 431', async () => {
    const wire = `GET /${'a'.repeat(8_000)} HTTP/1.1\r\nHost: a\r\nx: ${'v'.repeat(20_000)}\r\n\r\n`;
    expect(await ask(wire)).toEqual([431, 'request.head_too_large']);
  });

  test('with a method of any length is handed over, to be answered 501', async () => {
    const method = 'A'.repeat(200);
    expect(await ask(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`)).toEqual([200, `${method} / `]);
  });

  test.each([
    ['that lacks a Host', ''],
    ['with two', 'Host: a\r\nHost: b\r\n'],
    ['with one that is none', 'Host: a b\r\n'],
  ])('of a whole URL %s is refused', async (_, hosts) => {
    expect(await ask(`GET http://a/ HTTP/1.1\r\n${hosts}\r\n`)).toEqual([400, 'request.not_http']);
  });
});

describe('answers', () => {
  test('of every kind have one Date, and never both a length and chunks', async () => {
    const stream = () => new Blob(['streamed']).stream();
    const handles: Http1Handler[] = [
      echo,
      () => ({ status: 204, lines: '', body: undefined }),
      () => ({ status: 304, lines: '', body: undefined }),
      () => ({ status: 200, lines: '', body: stream() }),
      () => Promise.reject(new Error('inside')),
    ];
    for (const handle of handles) {
      const heard = await allOf('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', handle);
      await server?.stop(0);
      expect(heard.match(/\r\ndate: \w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT\r\n/g)).toHaveLength(1);
      const framings = heard.match(/\r\n(content-length|transfer-encoding): /g) ?? [];
      expect(framings.length).toBeLessThanOrEqual(1);
    }
  });

  test.each([204, 304])('%i has neither content, nor a length, nor chunks', async (status) => {
    const handle: Http1Handler = () => ({ status, lines: '', body: undefined });
    const heard = await allOf('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', handle);
    expect(heard).toEndWith('\r\n\r\n');
    expect(heard).not.toMatch(/content-length|transfer-encoding/);
  });

  test('after Connection: close there is none, and the connection ends', async () => {
    const get = (target: string, more = '') => `GET ${target} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
    const heard = await allOf(get('/one') + get('/two', 'Connection: close\r\n') + get('/three'));
    expect(heard).toContain('GET /two');
    expect(heard).not.toContain('GET /three');
    expect(heard).toContain('connection: close\r\n');
  });
});

describe('expectations', () => {
  const post = (version: string, expects: string) =>
    `POST / HTTP/${version}\r\nHost: a\r\nExpect: ${expects}\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok`;

  test('of HTTP/1.0 are ignored: it knows no interim answers', async () => {
    expect(statusesIn(await allOf(post('1.0', '100-continue')))).toEqual([200]);
  });

  test('that we do not know are ignored', async () => {
    expect(statusesIn(await allOf(post('1.1', 'the-impossible')))).toEqual([200]);
  });

  test('for no body are answered with the answer alone', async () => {
    const wire = 'GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n';
    expect(statusesIn(await allOf(wire))).toEqual([200]);
  });
});

test('a status line of an instance may lack its reason, and the space before it', () => {
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
