import { hopByHopFields, parseListField } from '../http-message/connection-fields.ts';
import { MalformedMessage } from '../http-message/malformed-message.ts';
import { createFieldReader, type Fields, parseFieldLines } from './fields.ts';
import { type Framing, parseFraming } from './framing.ts';

/** The head of a received request. */
export interface RequestHead {
  method: string;
  /** Path and query, in the one spelling that all readers understand alike. */
  target: string;
  isHttp11: boolean;
  /** Its lines exclude headers that end at this hop, that frame the body, or that clients may not set. */
  fields: Fields;
  framing: Framing;
  /** The client may send another request on this connection. */
  keepAlive: boolean;
  /** The client waits for a 100 before it sends its body. */
  expectsContinue: boolean;
}

/** Headers read while a request is served: extracted in one pass. Others are searched for on demand. */
const extractedNames = [
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'expect',
  'upgrade',
  'authorization',
  'content-type',
  'idempotency-key',
  'x-deadline-ms',
  'x-request-id',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
] as const;
const indexByName = new Map<string, number>(extractedNames.map((name, index) => [name, index]));
const indexOf = (name: (typeof extractedNames)[number]): number => extractedNames.indexOf(name);
const hostIndex = indexOf('host');
const connectionIndex = indexOf('connection');
const lengthIndex = indexOf('content-length');
const encodingIndex = indexOf('transfer-encoding');
const expectIndex = indexOf('expect');

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const invalidInTarget = /[^\x21-\x7e\x80-\xff]/;
/** Checked before the pattern: matching the first line was a tenth of the cost of a request. */
const commonMethods: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
]);
const hostPattern = /^[\w.\-:[\]]{0,255}$/;

/**
 * Creates a function that parses the head of a request, from the request line to the last header line with its
 * CRLF. `strippedHeaders` are names that clients may not set. Throws MalformedMessage.
 */
export function createRequestHeadParser(strippedHeaders: readonly string[]): (text: string) => RequestHead {
  const readFields = createFieldReader({
    read: extractedNames,
    drop: [...hopByHopFields, 'host', 'content-length', 'expect', ...strippedHeaders],
    once: ['host', 'content-length', 'transfer-encoding'],
  });

  return (text) => {
    // RFC 9112 §2.2: an empty line before a request is a remainder of the previous one.
    const from = text.startsWith('\r\n') ? 2 : 0;
    const lineEnd = text.indexOf('\r\n', from);
    const methodEnd = text.indexOf(' ', from);
    const targetEnd = lineEnd - version.length;
    const isHttp11 = text.startsWith(version, targetEnd);
    if (methodEnd < 0 || methodEnd >= targetEnd || !(isHttp11 || text.startsWith(oldVersion, targetEnd)))
      malformed('request line');
    const method = text.slice(from, methodEnd);
    if (!commonMethods.has(method) && !token.test(method)) malformed('method');
    const rawTarget = text.slice(methodEnd + 1, targetEnd);
    const fields = readFields(text, lineEnd + 2);
    const { values } = fields;
    const host = values[hostIndex];
    if (host === undefined ? isHttp11 : !hostPattern.test(host)) malformed('host');
    const target = normalizeTarget(rawTarget, values);
    const connection = values[connectionIndex];
    const options = connection === undefined ? [] : parseListField(connection);
    return {
      method,
      target,
      isHttp11,
      fields,
      framing: parseFraming(values[lengthIndex], values[encodingIndex], isHttp11) ?? noBody,
      keepAlive: !options.includes('close') && (isHttp11 || options.includes('keep-alive')),
      expectsContinue: isHttp11 && values[expectIndex]?.toLowerCase() === '100-continue',
    };
  };
}

const version = ' HTTP/1.1';
const oldVersion = ' HTTP/1.0';
const noBody: Framing = { kind: 'none' };

/** The value of a header, by its name in lower case. */
export function fieldValue({ values, lines }: Fields, name: string): string | undefined {
  const index = indexByName.get(name);
  if (index !== undefined) return values[index];
  const found = parseFieldLines(lines).filter(([fieldName]) => fieldName === name);
  return found.length === 0 ? undefined : found.map(([, value]) => value).join(', ');
}

/** A target without empty or dot segments, or anything that URL parsers spell differently. */
const normalTarget =
  /^\/(?!\/)(?:[\w\-.~!$&'()*+,;=:@%/]*)(?:\?[\x21\x24-\x26\x28-\x3b\x3d\x3f-\x5d\x5f\x61-\x7e]*)?$/;
const dotOrEmptySegment = /\/\.|\/%2e|\/\//i;

/**
 * Spells a path so that all readers understand the same one: dot segments are resolved, backslashes become
 * slashes, bytes outside ASCII are escaped. Throws MalformedMessage when the target is no path.
 */
function normalizeTarget(rawTarget: string, values: Fields['values']): string {
  if (normalTarget.test(rawTarget) && !dotOrEmptySegment.test(rawTarget)) return rawTarget;
  if (invalidInTarget.test(rawTarget)) malformed('target');
  const isAbsolute = /^https?:\/\//i.test(rawTarget);
  if (!isAbsolute && !rawTarget.startsWith('/')) malformed('target');
  const escaped = rawTarget.replace(
    /[\x80-\xff]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  const url = URL.parse(isAbsolute ? escaped : `http://host${escaped}`) ?? malformed('target');
  // RFC 9112 §3.2.2: the host of an absolute URL replaces the header.
  if (isAbsolute) values[hostIndex] = url.host;
  return `${url.pathname}${url.search}`;
}

function malformed(part: string): never {
  throw new MalformedMessage(part);
}
