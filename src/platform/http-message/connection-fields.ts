/** Headers of one connection, not of the message (RFC 9110 §7.6.1): they end at each hop. */
export const hopByHopFields: readonly string[] = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** Options of the connection itself, and headers that are always read, even when `Connection` lists them. */
const neverRemoved: ReadonlySet<string> = new Set([
  ...hopByHopFields,
  'close',
  'host',
  'content-length',
  'expect',
  '',
]);

/**
 * Headers that `Connection` lists: they end at this hop too, and the next server must not see them (RFC 9110
 * §7.6.1). We do not read them either, since then we would treat the request differently from that server.
 */
export const fieldsListedInConnection = (connection: string): ReadonlySet<string> =>
  new Set(parseListField(connection).filter((name) => !neverRemoved.has(name)));

/** The members of a header that is a list, in lower case. */
export const parseListField = (value: string): string[] =>
  value
    .toLowerCase()
    .split(',')
    .map((member) => trimOws(member));

const space = 32;
const tab = 9;

/**
 * The text without optional white space at its ends, which is spaces and tabs (RFC 9110 §5.6.3). `trim`
 * removes more: with it, this reader ignored a no-break space before `chunked` that other readers saw.
 */
export function trimOws(text: string, from = 0, to = text.length): string {
  let start = from;
  let end = to;
  while (start < end && isOws(text.charCodeAt(start))) start++;
  while (end > start && isOws(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

const isOws = (code: number): boolean => code === space || code === tab;
