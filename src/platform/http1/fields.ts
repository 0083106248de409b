/** A message breaks the protocol, or a bound of ours: nothing that comes after on its connection can be trusted. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage';
  constructor(
    what: string,
    /** It may be right, but it is longer than we read. */
    readonly tooLong = false,
  ) {
    super(`${what} cannot be read`);
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
export const hopByHop: readonly string[] = [
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

interface Rule {
  name: string;
  /** Where its value goes, or -1. */
  place: number;
  drops: boolean;
  once: boolean;
}

const cr = 13;
const lf = 10;
const colon = 58;
const toLower = 0x20;

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
    while (at < text.length) {
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
        if (rule.place >= 0) keep(values, rule, text.slice(nameEnd + 1, at).trim());
        if (rule.drops) {
          lines += text.slice(passedFrom, start);
          passedFrom = at + 2;
        }
      }
      at += 2;
    }
    lines += text.slice(passedFrom);
    const connection = values[connectionPlace];
    return { lines: connection === undefined ? lines : withoutListed(lines, connection), values };
  };
}

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

/** Options of the connection itself, which are no names of headers. */
const connectionOptions: ReadonlySet<string> = new Set(['close', 'keep-alive', 'upgrade', '']);

/** Headers that `Connection` names end at this hop too. */
function withoutListed(lines: string, connection: string): string {
  const listed = listOf(connection).filter((name) => !connectionOptions.has(name));
  if (listed.length === 0) return lines;
  return fieldPairs(lines)
    .filter(([name]) => !listed.includes(name))
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
}

/** The members of a header that is a list, in lower case. */
export const listOf = (value: string): string[] =>
  value
    .toLowerCase()
    .split(',')
    .map((one) => one.trim());

/** Header lines one by one, names in lower case. */
export function fieldPairs(lines: string): [name: string, value: string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at < lines.length; ) {
    const end = lines.indexOf('\r\n', at);
    const nameEnd = lines.indexOf(':', at);
    pairs.push([lines.slice(at, nameEnd).toLowerCase(), lines.slice(nameEnd + 1, end).trim()]);
    at = end + 2;
  }
  return pairs;
}
