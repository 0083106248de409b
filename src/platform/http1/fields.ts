/** A message breaks the protocol, or a bound of ours: nothing that comes after on its connection can be trusted. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage';
  constructor(
    what: string,
    /** It may be right, but it is longer than we read. */
    readonly isTooLong = false,
  ) {
    super(`${what} cannot be read`);
  }
}

/** Not even the first line of a request fits (RFC 9112 §3). */
export class TargetTooLong extends MalformedMessage {
  constructor() {
    super('so long a target', true);
  }
}

/** The header lines of one message. */
export interface Fields {
  /** What is passed on: lines as they came, each with its CRLF. */
  lines: string;
  /** Of the name at each place of `FieldRules.read`; those that came several times are joined by commas. */
  values: (string | undefined)[];
}

/** All names in lower case. */
export interface FieldRules {
  /** Whose values are wanted, at the places of `Fields.values`. */
  read: readonly string[];
  /** What is not passed on; names that `Connection` lists are not either. */
  drop: readonly string[];
  /** What a message may say once only. */
  once: readonly string[];
}

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

/** Each name in `Connection` is searched for among all lines; nothing that we know sends more than 60 bytes. */
const connectionBytesMax = 512;

interface Rule {
  name: string;
  /** Where its value goes, or -1. */
  place: number;
  drops: boolean;
  once: boolean;
}

const none: ReadonlySet<string> = new Set();
const cr = 13;
const lf = 10;
const colon = 58;
const space = 32;
const tab = 9;
const toLower = 0x20;

/** Lines of one head, and of the trailers of one message. Clients send 10 to 20; each costs time before anything is known of the client. */
export const fieldLineCountMax = 100;

const tableOf = (fits: RegExp) =>
  Uint8Array.from({ length: 256 }, (_, code) => (fits.test(String.fromCharCode(code)) ? 1 : 0));
/** RFC 9110 §5.6.2. */
const isToken = tableOf(/[!#$%&'*+\-.^_`|~0-9A-Za-z]/);
/** No control character but the tab: one could end a line early for another reader. */
const isInValue = tableOf(/[\t\x20-\x7e\x80-\xff]/);

// One of these at the end of a name that we know tells it from all others that we know.
const nextHash = (hash: number, code: number): number => (Math.imul(hash, 31) + (code | toLower)) | 0;

/**
 * Makes the function that reads header lines, from the first one on to the end of `text`, each with its CRLF.
 * Strict where two readers could disagree: only CRLF, no folded lines, no space before the colon.
 * One pass over the characters, since every request pays for it twice. Throws MalformedMessage.
 */
export function createFieldReader(rules: FieldRules): (text: string, from: number) => Fields {
  const known = rulesByHash(rules);
  const connectionPlace = rules.read.indexOf('connection');

  return (text, from) => {
    const values = new Array<string | undefined>(rules.read.length).fill(undefined);
    let lines = '';
    let passedFrom = from;
    let at = from;
    for (let count = 1; at < text.length; count++) {
      if (count > fieldLineCountMax) throw tooManyLinesError();
      const start = at;
      let hash = 0;
      let code = text.charCodeAt(at);
      while (isToken[code] === 1) {
        hash = nextHash(hash, code);
        code = text.charCodeAt(++at);
      }
      if (code !== colon || at === start) throw new MalformedMessage('a header name');
      const nameEnd = at;
      do code = text.charCodeAt(++at);
      while (isInValue[code] === 1);
      if (code !== cr || text.charCodeAt(at + 1) !== lf) throw new MalformedMessage('a header value');
      const rule = known.get(hash);
      if (rule !== undefined && isCalled(text, start, nameEnd, rule.name)) {
        if (rule.place >= 0) keep(values, rule, trimOws(text, nameEnd + 1, at));
        if (rule.drops) {
          lines += text.slice(passedFrom, start);
          passedFrom = at + 2;
        }
      }
      at += 2;
    }
    lines += text.slice(passedFrom);
    const connection = values[connectionPlace];
    if (connection !== undefined && connection.length > connectionBytesMax)
      throw new MalformedMessage('so long a Connection', true);
    const listed = connection === undefined ? none : fieldsListedInConnection(connection);
    if (listed.size === 0) return { lines, values };
    for (const [place, name] of rules.read.entries()) if (listed.has(name)) values[place] = undefined;
    return { lines: withoutListed(lines, listed), values };
  };
}

/**
 * The text without optional white space at its ends, which is spaces and tabs (RFC 9110 §5.6.3). `trim`
 * takes more: with it a no-break space before `chunked` was seen by other readers and not by this one.
 */
export function trimOws(text: string, from = 0, to = text.length): string {
  let start = from;
  let end = to;
  while (start < end && isOws(text.charCodeAt(start))) start++;
  while (end > start && isOws(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

const isOws = (code: number): boolean => code === space || code === tab;

/** Throws MalformedMessage unless the line, with its CRLF, is one header line. */
export function assertFieldLine(line: string): void {
  let at = 0;
  while (isToken[line.charCodeAt(at)] === 1) at++;
  if (at === 0 || line.charCodeAt(at) !== colon) throw new MalformedMessage('a header name');
  do at++;
  while (isInValue[line.charCodeAt(at)] === 1);
  if (at !== line.length - 2) throw new MalformedMessage('a header value');
}

export const tooManyLinesError = (): MalformedMessage => new MalformedMessage('so many header lines', true);

function rulesByHash({ read, drop, once }: FieldRules): Map<number, Rule> {
  const rules = new Map<number, Rule>();
  for (const name of new Set([...read, ...drop, ...once])) {
    const hash = [...name].reduce((before, char) => nextHash(before, char.charCodeAt(0)), 0);
    if (rules.has(hash)) throw new Error(`the header names ${name} and ${rules.get(hash)?.name} look alike`);
    rules.set(hash, {
      name,
      place: read.indexOf(name),
      drops: drop.includes(name),
      once: once.includes(name),
    });
  }
  return rules;
}

/** Whether that part of the text is `name` in any case; names that we know are letters, digits and hyphens. */
function isCalled(text: string, start: number, end: number, name: string): boolean {
  if (end - start !== name.length) return false;
  for (let at = 0; at < name.length; at++)
    if ((text.charCodeAt(start + at) | toLower) !== name.charCodeAt(at)) return false;
  return true;
}

function keep(values: (string | undefined)[], { name, place, once }: Rule, value: string): void {
  const before = values[place];
  if (before !== undefined && once) throw new MalformedMessage(`a second ${name}`);
  values[place] = before === undefined ? value : `${before}, ${value}`;
}

/** Options of the connection itself, and headers that are read for it whatever `Connection` says. */
const ofConnection: ReadonlySet<string> = new Set([
  ...hopByHopFields,
  'close',
  'host',
  'content-length',
  'expect',
  '',
]);

/**
 * Headers that `Connection` names: they end at this hop too, and whoever answers behind it must not know them
 * (RFC 9110 §7.6.1). So we read them for nothing either, or we would take a request for another than it is there.
 */
export const fieldsListedInConnection = (connection: string): ReadonlySet<string> =>
  new Set(parseListField(connection).filter((name) => !ofConnection.has(name)));

function withoutListed(lines: string, listed: ReadonlySet<string>): string {
  return parseFieldLines(lines)
    .filter(([name]) => !listed.has(name))
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
}

/** The members of a header that is a list, in lower case. */
export const parseListField = (value: string): string[] =>
  value
    .toLowerCase()
    .split(',')
    .map((one) => trimOws(one));

/** Header lines one by one, names in lower case. */
export function parseFieldLines(lines: string): [name: string, value: string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at < lines.length; ) {
    const end = lines.indexOf('\r\n', at);
    const nameEnd = lines.indexOf(':', at);
    pairs.push([lines.slice(at, nameEnd).toLowerCase(), trimOws(lines, nameEnd + 1, end)]);
    at = end + 2;
  }
  return pairs;
}
