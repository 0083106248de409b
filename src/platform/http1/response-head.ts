import { hopByHopFields, parseListField } from '../http-message/connection-fields.ts';
import { MalformedMessage } from '../http-message/malformed-message.ts';
import { createFieldReader } from './fields.ts';
import { type Framing, parseFraming } from './framing.ts';

export interface ResponseHead {
  status: number;
  /** The lines to forward: without headers that end at this hop or frame the body, and without Date, which is set anew. */
  lines: string;
  framing: Framing;
  /** The connection may carry another request after this one. */
  keepAlive: boolean;
  /** Describes the connection: not forwarded, but read by a caller that asked to switch protocols. */
  connection: string | undefined;
  upgrade: string | undefined;
}

/** The part of the status line after the version. */
const statusPattern = /^[1-5]\d\d(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const version = 'HTTP/1.1 ';
const oldVersion = 'HTTP/1.0 ';
const extractedNames = ['connection', 'content-length', 'transfer-encoding', 'upgrade'];
const readFields = createFieldReader({
  read: extractedNames,
  drop: [...hopByHopFields, ...extractedNames, 'date'],
  once: ['content-length', 'transfer-encoding'],
});

/**
 * Parses the head of the response to a request with this method, from the status line to the last header line
 * with its CRLF. Throws MalformedMessage.
 */
export function parseResponseHead(text: string, method: string): ResponseHead {
  const lineEnd = text.indexOf('\r\n');
  const isHttp11 = text.startsWith(version);
  const statusText = text.slice(version.length, lineEnd);
  const isValid =
    (isHttp11 || text.startsWith(oldVersion)) && (statusText === '200 OK' || statusPattern.test(statusText));
  if (!isValid) throw new MalformedMessage('status line');
  const status = Number(statusText.slice(0, 3));
  const { lines, values } = readFields(text, lineEnd + 2);
  const [connection, length, encoding, upgrade] = values;

  const declared = parseFraming(length, encoding, isHttp11);
  const hasNoBody = method === 'HEAD' || status < 200 || status === 204 || status === 304;
  const framing: Framing = hasNoBody ? { kind: 'none' } : (declared ?? { kind: 'until_close' });
  // A client that sent HEAD wants to know the length that the body would have.
  const keepsLength = hasNoBody && length !== undefined && status !== 204 && status >= 200;
  return {
    status,
    lines: keepsLength ? `${lines}content-length: ${length}\r\n` : lines,
    framing,
    keepAlive:
      isHttp11 &&
      framing.kind !== 'until_close' &&
      !(connection !== undefined && parseListField(connection).includes('close')),
    connection,
    upgrade,
  };
}
