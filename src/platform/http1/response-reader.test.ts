import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { MalformedMessage } from '../http-message/malformed-message.ts';
import { parseFieldLines } from './fields.ts';
import type { ResponseHead } from './response-head.ts';
import { createResponseReader } from './response-reader.ts';

const headBytesMax = 1024;

interface Seen {
  heads: ResponseHead[];
  bodies: string[];
  ended: number;
  failed: boolean;
}

/** Feeds the bytes, cut at these offsets; each response is followed by another request with the same method. */
function read(text: string, cuts: readonly number[] = [], { method = 'GET', close = false } = {}): Seen {
  const seen: Seen = { heads: [], bodies: [], ended: 0, failed: false };
  const reader = createResponseReader(
    {
      onHead(head) {
        seen.heads.push(head);
        seen.bodies.push('');
      },
      onBody(bytes, start, end) {
        seen.bodies.push(`${seen.bodies.pop() ?? ''}${bytes.toString('latin1', start, end)}`);
      },
      onEnd() {
        seen.ended++;
      },
    },
    headBytesMax,
  );
  const bytes = Buffer.from(text, 'latin1');
  try {
    reader.expectResponse(method);
    for (const piece of pieces(bytes, cuts)) reader.feed(piece);
    if (close) reader.finish();
  } catch (error) {
    if (!(error instanceof MalformedMessage)) throw error;
    seen.failed = true;
  }
  return seen;
}

function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])];
  places.sort((a, b) => a - b);
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}

const everyByte = (text: string) => Array.from({ length: text.length }, (_, at) => at);

const value = fc.stringMatching(/^[!-~]{1,20}$/);
/** A string with one character for each byte, any byte. */
const bytesText = (maxLength: number) =>
  fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes).toString('latin1'));
const body = bytesText(200);
const chunked = (parts: readonly string[]) =>
  `${parts
    .filter((part) => part !== '')
    .map((part) => `${part.length.toString(16)};ext=1\r\n${part}\r\n`)
    .join('')}0\r\n`;
const extra = fc
  .array(fc.tuple(fc.constantFrom('X-A', 'x-b', 'Set-Cookie'), value), { maxLength: 4 })
  .map((list) => list.map(([name, text]) => `${name}: ${text}\r\n`).join(''));

/** A complete response and the body that its reader should find. */
const response = fc.oneof(
  fc.tuple(extra, body).map(([head, text]) => ({
    wire: `HTTP/1.1 200 OK\r\n${head}Content-Length: ${text.length}\r\n\r\n${text}`,
    body: text,
  })),
  fc.tuple(extra, fc.array(body, { maxLength: 5 }), fc.boolean()).map(([head, parts, trailer]) => ({
    wire: `HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n${head}\r\n${chunked(parts)}${trailer ? 'x-sum: 1\r\n' : ''}\r\n`,
    body: parts.join(''),
  })),
  extra.map((head) => ({ wire: `HTTP/1.1 204 No Content\r\n${head}\r\n`, body: '' })),
  fc.tuple(extra, body).map(([head, text]) => ({
    wire: `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n${head}content-length:${text.length}\r\n\r\n${text}`,
    body: text,
  })),
);

describe('bytes that arrive in any pieces', () => {
  test('give the same complete response', () => {
    fc.assert(
      fc.property(response, fc.array(fc.nat(2_000), { maxLength: 30 }), ({ wire, body }, cuts) => {
        const whole = read(wire);
        expect([whole.ended, whole.failed, whole.bodies]).toEqual([1, false, [body]]);
        expect(read(wire, cuts)).toEqual(whole);
        expect(read(wire, everyByte(wire))).toEqual(whole);
      }),
      { numRuns: 1_000 },
    );
  });

  test('with noise in them give the same verdict, and never more than one response', () => {
    const noise = fc.tuple(
      fc.nat(),
      fc.constantFrom('\r', '\n', '\0', ' ', ':', '0', 'f', '\r\n', '\xff', ''),
    );
    fc.assert(
      fc.property(
        response,
        fc.array(noise, { minLength: 1, maxLength: 4 }),
        fc.array(fc.nat(2_000), { maxLength: 10 }),
        ({ wire }, noises, cuts) => {
          const spoilt = noises.reduce((text, [at, piece]) => {
            const place = at % text.length;
            return `${text.slice(0, place)}${piece}${text.slice(place + 1)}`;
          }, wire);
          const whole = read(spoilt, [], { close: true });
          const inPieces = read(spoilt, cuts, { close: true });
          expect([inPieces.failed, inPieces.ended, inPieces.heads]).toEqual([
            whole.failed,
            whole.ended,
            whole.heads,
          ]);
          expect(whole.ended).toBeLessThanOrEqual(1);
          // It either ended or failed.
          expect(whole.failed || whole.ended === 1).toBe(true);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test('are rejected when they are not HTTP', () => {
    fc.assert(
      fc.property(bytesText(50), (text) => {
        expect(read(`h${text}`, [], { close: true })).toMatchObject({ failed: true, ended: 0 });
      }),
    );
  });
});

test('chunk extensions and trailers of any legal form are skipped', () => {
  const wire = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\nab\r\n3 ; b = c ;d="e\\"\xa0,;"\r\ncde\r\n0;z=1\r\nx-a: 1\r\nx-b:\r\n\r\n`;
  for (const cuts of [[], everyByte(wire)])
    expect(read(wire, cuts)).toMatchObject({ failed: false, ended: 1, bodies: ['abcde'] });
});

describe('the body of a response', () => {
  test('is empty after HEAD, and its length is forwarded', () => {
    const seen = read('HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n', [], { method: 'HEAD' });
    expect([seen.ended, seen.bodies]).toEqual([1, ['']]);
    expect(parseFieldLines(seen.heads[0]?.lines ?? '')).toEqual([['content-length', '17']]);
  });

  test('is empty with 204 and 304, whatever the head declares', () => {
    for (const status of ['204 No Content', '304 Not Modified'])
      expect(read(`HTTP/1.1 ${status}\r\nContent-Length: 5\r\n\r\n`)).toMatchObject({
        ended: 1,
        failed: false,
      });
  });

  test('without a length ends with the connection, which carries nothing after it', () => {
    const seen = read('HTTP/1.1 200 OK\r\n\r\nall of this', [3, 20], { close: true });
    expect([seen.ended, seen.bodies, seen.heads[0]?.keepAlive]).toEqual([1, ['all of this'], false]);
  });

  test('that breaks off with the connection is an error', () => {
    for (const wire of [
      '',
      'HTTP/1.1 200 OK\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfour',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n',
    ])
      expect(read(wire, [], { close: true })).toMatchObject({ failed: true, ended: 0 });
  });

  test('followed by more bytes is an error, since they answer no request', () => {
    const one = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
    expect(read(`${one}${one}`)).toMatchObject({ failed: true, ended: 1 });
  });
});

describe('a response that two readers could understand differently is rejected:', () => {
  const testRejected = (name: string, wire: string) =>
    test(name, () => {
      expect(read(wire, [], { close: true })).toMatchObject({ failed: true, ended: 0 });
      expect(read(wire, everyByte(wire), { close: true })).toMatchObject({ failed: true, ended: 0 });
    });
  const ok = 'HTTP/1.1 200 OK\r\n';
  testRejected(
    'with a length and an encoding',
    `${ok}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  );
  testRejected('with two lengths', `${ok}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`);
  testRejected('with a list of lengths', `${ok}Content-Length: 3, 3\r\n\r\nabc`);
  testRejected('with a negative length', `${ok}Content-Length: -3\r\n\r\nabc`);
  testRejected('with a sign before the length', `${ok}Content-Length: +3\r\n\r\nabc`);
  testRejected('with a hexadecimal length', `${ok}Content-Length: 0x3\r\n\r\nabc`);
  testRejected('with a length beyond any number', `${ok}Content-Length: 99999999999999999999\r\n\r\n`);
  testRejected('with an unknown encoding', `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`);
  testRejected(
    'with two encodings',
    `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  );
  testRejected('with chunked in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n');
  testRejected('with a space before the colon', `${ok}Content-Length : 3\r\n\r\nabc`);
  testRejected('with a folded line', `${ok}X-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n`);
  testRejected('with a bare line feed', `${ok}X-A: 1\nContent-Length: 0\r\n\r\n`);
  testRejected('with a bare carriage return', `${ok}X-A: 1\rContent-Length: 0\r\n\r\n`);
  testRejected('with a line without a colon', `${ok}X-A\r\n\r\n`);
  testRejected('with a NUL', `${ok}X-A: \0\r\n\r\n`);
  testRejected('with another version', 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n');
  testRejected('with a status of four digits', 'HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n');
  testRejected(
    'with an unrequested protocol switch',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n',
  );
  testRejected('with endless interim responses', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(100));
  testRejected(
    'with a chunk longer than its size',
    `${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n`,
  );
  testRejected('with a chunk without a size', `${ok}Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n`);
  testRejected('with 0x in a chunk size', `${ok}Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n`);
  testRejected('with a chunk size too large', `${ok}Transfer-Encoding: chunked\r\n\r\n${'f'.repeat(17)}\r\n`);
  const chunks = `${ok}Transfer-Encoding: chunked\r\n\r\n`;
  testRejected('with a space after a chunk size', `${chunks}2 \r\nab\r\n0\r\n\r\n`);
  testRejected('with a chunk extension without a name', `${chunks}2;\r\nab\r\n0\r\n\r\n`);
  testRejected('with a chunk extension that is no token', `${chunks}2;bad@\r\nab\r\n0\r\n\r\n`);
  testRejected('with a chunk extension without its value', `${chunks}2;a=\r\nab\r\n0\r\n\r\n`);
  testRejected('with an unterminated quoted value', `${chunks}2;a="b\r\nab\r\n0\r\n\r\n`);
  testRejected('with a trailer that is no header line', `${chunks}2\r\nab\r\n0\r\nGET / HTTP/1.1\r\n\r\n`);
  testRejected('with a bare line feed in a trailer', `${chunks}2\r\nab\r\n0\r\nx-a: 1\nx-b: 2\r\n\r\n`);
  testRejected('with a space before the colon of a trailer', `${chunks}2\r\nab\r\n0\r\nx-a : 1\r\n\r\n`);
  testRejected('with a folded trailer', `${chunks}2\r\nab\r\n0\r\nx-a: 1\r\n 2\r\n\r\n`);
  testRejected('with 101 trailers', `${chunks}0\r\n${'x:\r\n'.repeat(101)}\r\n`);
  testRejected('with endless chunks of one byte', `${chunks}${'1\r\nx\r\n'.repeat(20_000)}0\r\n\r\n`);
  testRejected(
    'with endless chunk extensions',
    `${chunks}${`1;${'a'.repeat(200)}\r\nx\r\n`.repeat(200)}0\r\n\r\n`,
  );
  testRejected(
    'with a bare line feed after a chunk size',
    `${ok}Transfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n`,
  );
  testRejected('with a head that is too long', `${ok}X-A: ${'a'.repeat(headBytesMax)}\r\n\r\n`);
  testRejected('with an endless head', `${ok}X-A: ${'a'.repeat(headBytesMax * 4)}`);
  testRejected(
    'with an endless chunk extension',
    `${ok}Transfer-Encoding: chunked\r\n\r\n2;${'a'.repeat(9_000)}`,
  );
  testRejected(
    'with endless trailers',
    `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\n${'x-t: 1\r\n'.repeat(headBytesMax)}`,
  );
});

describe('the forwarded lines of a response', () => {
  const headersOf = (wire: string) => parseFieldLines(read(wire).heads[0]?.lines ?? '');

  test('exclude headers of the connection, those that it lists, and the framing', () => {
    expect(
      headersOf(
        'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Mine\r\nKeep-Alive: timeout=5\r\nX-Mine: 1\r\nX-Yours: 2\r\nContent-Length: 0\r\n\r\n',
      ),
    ).toEqual([['x-yours', '2']]);
  });

  test('keep every cookie on its own line, in order', () => {
    expect(
      headersOf('HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n'),
    ).toEqual([
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
    ]);
  });

  test('belong to a connection that is not reused after Connection: close and HTTP/1.0', () => {
    const keepAlive = (wire: string) => read(wire).heads[0]?.keepAlive;
    expect(keepAlive('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')).toBe(true);
    expect(keepAlive('HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n')).toBe(false);
    expect(keepAlive('HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n')).toBe(false);
  });
});
