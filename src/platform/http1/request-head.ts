import {
  createFieldReader,
  type Fields,
  hopByHopFields,
  MalformedMessage,
  parseFieldLines,
  parseListField,
} from './fields.ts';
import { type Framing, parseFraming } from './framing.ts';

/** The head of a request that came in. */
export interface RequestHead {
  method: string;
  /** Path and query, as every reader behind us will understand them. */
  target: string;
  isHttp11: boolean;
  /** Lines to pass on are without what ends at this hop, frames the body, or may not be said by a client. */
  fields: Fields;
  framing: Framing;
  /** The client may send another request on this connection. */
  keepAlive: boolean;
  /** The client sends its body once it hears that it may. */
  expectsContinue: boolean;
}

/** What is asked for by name while a request is served: found in one pass. Others are looked up when asked for. */
const read = [
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
const placeOf = new Map<string, number>(read.map((name, place) => [name, place]));
const place = (name: (typeof read)[number]): number => read.indexOf(name);
const [hostAt, connectionAt, lengthAt] = [place('host'), place('connection'), place('content-length')];
const [encodingAt, expectAt] = [place('transfer-encoding'), place('expect')];

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const unfitForTarget = /[^\x21-\x7e\x80-\xff]/;
/** Looked up before the pattern is asked: a tenth of what a request costs us was to match its first line. */
const usualMethods: ReadonlySet<string> = new Set([
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
 * Makes the function that reads a request's head, from the request line to the last header line with its
 * CRLF. `drop` are names that clients may not say to whoever is behind us. Throws MalformedMessage.
 */
export function createRequestHeadParser(drop: readonly string[]): (text: string) => RequestHead {
  const readFields = createFieldReader({
    read,
    drop: [...hopByHopFields, 'host', 'content-length', 'expect', ...drop],
    once: ['host', 'content-length', 'transfer-encoding'],
  });

  return (text) => {
    // RFC 9112 §2.2: an empty line before a request is left over from one before.
    const from = text.startsWith('\r\n') ? 2 : 0;
    const lineEnd = text.indexOf('\r\n', from);
    const methodEnd = text.indexOf(' ', from);
    const targetEnd = lineEnd - version.length;
    const isHttp11 = text.startsWith(version, targetEnd);
    if (methodEnd < 0 || methodEnd >= targetEnd || !(isHttp11 || text.startsWith(oldVersion, targetEnd)))
      malformed('a request line');
    const method = text.slice(from, methodEnd);
    if (!usualMethods.has(method) && !token.test(method)) malformed('the method');
    const given = text.slice(methodEnd + 1, targetEnd);
    const fields = readFields(text, lineEnd + 2);
    const { values } = fields;
    const host = values[hostAt];
    if (host === undefined ? isHttp11 : !hostPattern.test(host)) malformed('the host');
    const target = targetOf(given, values);
    const connection = values[connectionAt];
    const options = connection === undefined ? [] : parseListField(connection);
    return {
      method,
      target,
      isHttp11,
      fields,
      framing: parseFraming(values[lengthAt], values[encodingAt], isHttp11) ?? none,
      keepAlive: !options.includes('close') && (isHttp11 || options.includes('keep-alive')),
      expectsContinue: isHttp11 && values[expectAt]?.toLowerCase() === '100-continue',
    };
  };
}

const version = ' HTTP/1.1';
const oldVersion = ' HTTP/1.0';
const none: Framing = { kind: 'none' };

/** The value of a header, by its name in lower case. */
export function fieldValue({ values, lines }: Fields, name: string): string | undefined {
  const place = placeOf.get(name);
  if (place !== undefined) return values[place];
  const found = parseFieldLines(lines).filter(([one]) => one === name);
  return found.length === 0 ? undefined : found.map(([, value]) => value).join(', ');
}

/** No empty segment, no segment of dots, nothing that URL readers write in another way. */
const plain =
  /^\/(?!\/)(?:[\w\-.~!$&'()*+,;=:@%/]*)(?:\?[\x21\x24-\x26\x28-\x3b\x3d\x3f-\x5d\x5f\x61-\x7e]*)?$/;
const dotted = /\/\.|\/%2e|\/\//i;

/**
 * What readers could take for different paths is written in the one way that all understand: dots are
 * resolved, backslashes are slashes, foreign bytes are escaped. Throws MalformedMessage for what is no path.
 */
function targetOf(given: string, values: Fields['values']): string {
  if (plain.test(given) && !dotted.test(given)) return given;
  if (unfitForTarget.test(given)) malformed('the target');
  const absolute = /^https?:\/\//i.test(given);
  if (!absolute && !given.startsWith('/')) malformed('the target');
  const escaped = given.replace(
    /[\x80-\xff]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  const url = URL.parse(absolute ? escaped : `http://host${escaped}`) ?? malformed('the target');
  // RFC 9112 §3.2.2: the host of a whole URL counts, not the header.
  if (absolute) values[hostAt] = url.host;
  return `${url.pathname}${url.search}`;
}

function malformed(what: string): never {
  throw new MalformedMessage(what);
}
