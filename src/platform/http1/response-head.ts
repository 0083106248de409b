import { createFieldReader, hopByHopFields, MalformedMessage, parseListField } from './fields.ts';
import { type Framing, parseFraming } from './framing.ts';

export interface ResponseHead {
  status: number;
  /** What is passed on: without what ends at this hop, what frames the body, and the date, which is told anew. */
  lines: string;
  framing: Framing;
  /** The connection may carry another request after this one. */
  keepAlive: boolean;
  /** Of the connection itself: not passed on, read by whoever asked for a switch of protocols. */
  connection: string | undefined;
  upgrade: string | undefined;
}

/** Behind the version. */
const statusPattern = /^[1-5]\d\d(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const version = 'HTTP/1.1 ';
const oldVersion = 'HTTP/1.0 ';
const read = ['connection', 'content-length', 'transfer-encoding', 'upgrade'];
const readFields = createFieldReader({
  read,
  drop: [...hopByHopFields, ...read, 'date'],
  once: ['content-length', 'transfer-encoding'],
});

/**
 * Reads a response's head, from the status line to the last header line with its CRLF, to a request of
 * `method`. Throws MalformedMessage.
 */
export function parseResponseHead(text: string, method: string): ResponseHead {
  const lineEnd = text.indexOf('\r\n');
  const isHttp11 = text.startsWith(version);
  const told = text.slice(version.length, lineEnd);
  const fits = (isHttp11 || text.startsWith(oldVersion)) && (told === '200 OK' || statusPattern.test(told));
  if (!fits) throw new MalformedMessage('a status line');
  const status = Number(told.slice(0, 3));
  const { lines, values } = readFields(text, lineEnd + 2);
  const [connection, length, encoding, upgrade] = values;

  const framed = parseFraming(length, encoding, isHttp11);
  const bodiless = method === 'HEAD' || status < 200 || status === 204 || status === 304;
  const framing: Framing = bodiless ? { kind: 'none' } : (framed ?? { kind: 'until_close' });
  // The length that a body would have had is news to whoever asked with HEAD.
  const wouldBe = bodiless && length !== undefined && status !== 204 && status >= 200;
  return {
    status,
    lines: wouldBe ? `${lines}content-length: ${length}\r\n` : lines,
    framing,
    keepAlive:
      isHttp11 &&
      framing.kind !== 'until_close' &&
      !(connection !== undefined && parseListField(connection).includes('close')),
    connection,
    upgrade,
  };
}
