/** The response breaks the protocol, or a bound of ours: nothing of it can be trusted any more. */
export class MalformedResponse extends Error {
  override readonly name = 'MalformedResponse';
}

/** How the end of a body is told (RFC 9112 §6.3). */
export type Framing =
  | { kind: 'none' }
  | { kind: 'length'; bytes: number }
  | { kind: 'chunked' }
  | { kind: 'until_close' };

export interface ResponseHead {
  status: number;
  /** In their order, names in lower case; those that end at this hop and those that frame the body are left out. */
  headers: [name: string, value: string][];
  framing: Framing;
  /** The connection may carry another request after this one. */
  keepAlive: boolean;
}

/** What a field does beside being passed on. */
type Role = 'passes' | 'ends_here' | 'connection' | 'length' | 'encoding';
interface Field {
  name: string;
  role: Role;
}

/** Headers of one connection, not of the message (RFC 9110 §7.6.1): they end at each hop. */
export const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

const statusLine = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const forbiddenInValue = /[^\t\x20-\x7e\x80-\xff]/;
const contentLength = /^\d{1,15}$/;

// Upstreams send the same names again and again: known spellings are looked up, not checked anew.
const knownFieldsMax = 1_000;
const knownFields = new Map<string, Field>();

/**
 * Reads a response's head, from the status line to the last header without its empty line, to a request
 * of `method`. Strict where two readers could disagree: only CRLF, no folded lines, no space before the
 * colon, one Content-Length or `chunked` but never both. Throws MalformedResponse.
 */
export function parseResponseHead(text: string, method: string): ResponseHead {
  let lineEnd = endOfLine(text, 0);
  const [, minor, statusText] = statusLine.exec(text.slice(0, lineEnd)) ?? malformed('status line');
  const status = Number(statusText);
  const headers: [string, string][] = [];
  let connection = '';
  let length: string | undefined;
  let encoding: string | undefined;

  while (lineEnd < text.length) {
    const start = lineEnd + 2;
    lineEnd = endOfLine(text, start);
    const colon = text.indexOf(':', start);
    if (colon < 0 || colon >= lineEnd) malformed('header line');
    const { name, role } = fieldOf(text.slice(start, colon));
    const received = text.slice(colon + 1, lineEnd);
    if (forbiddenInValue.test(received)) malformed('header value');
    const value = received.trim();
    if (role === 'passes') headers.push([name, value]);
    else if (role === 'connection') connection += `,${value.toLowerCase()}`;
    else if (role === 'length') length = length === undefined ? value : malformed('two lengths');
    else if (role === 'encoding') encoding = encoding === undefined ? value : malformed('two encodings');
  }

  const framing = framingOf(status, method, minor === '1', length, encoding);
  // The length that a body would have had is news to whoever asked with HEAD.
  if (framing.kind === 'none' && length !== undefined && status !== 204 && status >= 200)
    headers.push(['content-length', length]);
  return {
    status,
    headers: connection === '' ? headers : withoutNamed(headers, connection),
    framing,
    keepAlive: minor === '1' && framing.kind !== 'until_close' && !isListed(connection, 'close'),
  };
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\r\n', from);
  return end < 0 ? text.length : end;
}

function fieldOf(spelling: string): Field {
  const known = knownFields.get(spelling);
  if (known !== undefined) return known;
  if (!token.test(spelling)) malformed('header name');
  const name = spelling.toLowerCase();
  const field = { name, role: roleOf(name) };
  if (knownFields.size < knownFieldsMax) knownFields.set(spelling, field);
  return field;
}

function roleOf(name: string): Role {
  if (name === 'connection') return 'connection';
  if (name === 'content-length') return 'length';
  if (name === 'transfer-encoding') return 'encoding';
  return hopByHop.has(name) ? 'ends_here' : 'passes';
}

function framingOf(
  status: number,
  method: string,
  isHttp11: boolean,
  length: string | undefined,
  encoding: string | undefined,
): Framing {
  if (length !== undefined && !contentLength.test(length)) malformed('length');
  if (encoding !== undefined) {
    if (length !== undefined) malformed('both a length and an encoding');
    if (!isHttp11 || encoding.toLowerCase() !== 'chunked') malformed('encoding');
  }
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return { kind: 'none' };
  if (encoding !== undefined) return { kind: 'chunked' };
  if (length !== undefined) return { kind: 'length', bytes: Number(length) };
  return { kind: 'until_close' };
}

/** Headers that `Connection` names end at this hop too. */
function withoutNamed(headers: [string, string][], connection: string): [string, string][] {
  return headers.filter(([name]) => !isListed(connection, name));
}

const isListed = (list: string, name: string): boolean =>
  list !== '' && list.split(',').some((one) => one.trim() === name);

function malformed(what: string): never {
  throw new MalformedResponse(`the upstream's ${what} cannot be read`);
}
