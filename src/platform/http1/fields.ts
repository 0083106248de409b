import { fieldsListedInConnection, trimOws } from '../http-message/connection-fields.ts';
import { MalformedMessage } from '../http-message/malformed-message.ts';

/** The header lines of one message. */
export interface Fields {
  /** The lines to forward, unchanged, each with its CRLF. */
  lines: string;
  /** The value of the name at the same index of `FieldRules.read`; repeated lines are joined by commas. */
  values: (string | undefined)[];
}

/** All names in lower case. */
export interface FieldRules {
  /** Names whose values are returned, in the order of `Fields.values`. */
  read: readonly string[];
  /** Names that are not forwarded, besides those that `Connection` lists. */
  drop: readonly string[];
  /** Names that may occur only once in a message. */
  once: readonly string[];
}

/** Each name in `Connection` is searched for in all lines. No known client sends more than 60 bytes. */
const connectionBytesMax = 512;

interface Rule {
  name: string;
  /** The index of its value, or -1. */
  index: number;
  isDropped: boolean;
  isSingleton: boolean;
}

const noNames: ReadonlySet<string> = new Set();
const cr = 13;
const lf = 10;
const colon = 58;
const lowerCaseBit = 0x20;

/**
 * Lines of one head, and of the trailers of one message. Clients send 10 to 20; each costs time before the client
 * is authenticated.
 */
export const fieldLineCountMax = 100;

const createCharTable = (allowed: RegExp) =>
  Uint8Array.from({ length: 256 }, (_, code) => (allowed.test(String.fromCharCode(code)) ? 1 : 0));
/** RFC 9110 §5.6.2. */
const isToken = createCharTable(/[!#$%&'*+\-.^_`|~0-9A-Za-z]/);
/** No control character except tab: another reader could see the end of a line in it. */
const isInValue = createCharTable(/[\t\x20-\x7e\x80-\xff]/);

// A hash of a name in lower case, computed while it is read. The known names have distinct hashes (checked below).
const nextHash = (hash: number, code: number): number => (Math.imul(hash, 31) + (code | lowerCaseBit)) | 0;

/**
 * Creates a function that reads header lines from `from` to the end of `text`, each with its CRLF. It is strict
 * where two readers could disagree: only CRLF, no folded lines, no space before the colon. It makes one pass over
 * the characters, since every request pays for it twice. Throws MalformedMessage.
 */
export function createFieldReader(rules: FieldRules): (text: string, from: number) => Fields {
  const known = indexRules(rules);
  const connectionIndex = rules.read.indexOf('connection');

  return (text, from) => {
    const values = new Array<string | undefined>(rules.read.length).fill(undefined);
    let lines = '';
    let keptFrom = from;
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
      if (code !== colon || at === start) throw new MalformedMessage('header name');
      const nameEnd = at;
      do code = text.charCodeAt(++at);
      while (isInValue[code] === 1);
      if (code !== cr || text.charCodeAt(at + 1) !== lf) throw new MalformedMessage('header value');
      const rule = known.get(hash);
      if (rule !== undefined && hasName(text, start, nameEnd, rule.name)) {
        if (rule.index >= 0) storeValue(values, rule, trimOws(text, nameEnd + 1, at));
        if (rule.isDropped) {
          lines += text.slice(keptFrom, start);
          keptFrom = at + 2;
        }
      }
      at += 2;
    }
    lines += text.slice(keptFrom);
    const connection = values[connectionIndex];
    if (connection !== undefined && connection.length > connectionBytesMax)
      throw new MalformedMessage('Connection too long', true);
    const listed = connection === undefined ? noNames : fieldsListedInConnection(connection);
    if (listed.size === 0) return { lines, values };
    for (const [index, name] of rules.read.entries()) if (listed.has(name)) values[index] = undefined;
    return { lines: removeListed(lines, listed), values };
  };
}

/** Throws MalformedMessage unless the line, with its CRLF, is one header line. */
export function assertFieldLine(line: string): void {
  let at = 0;
  while (isToken[line.charCodeAt(at)] === 1) at++;
  if (at === 0 || line.charCodeAt(at) !== colon) throw new MalformedMessage('header name');
  do at++;
  while (isInValue[line.charCodeAt(at)] === 1);
  if (at !== line.length - 2) throw new MalformedMessage('header value');
}

export const tooManyLinesError = (): MalformedMessage => new MalformedMessage('too many header lines', true);

function indexRules({ read, drop, once }: FieldRules): Map<number, Rule> {
  const rules = new Map<number, Rule>();
  for (const name of new Set([...read, ...drop, ...once])) {
    const hash = [...name].reduce((hashed, char) => nextHash(hashed, char.charCodeAt(0)), 0);
    if (rules.has(hash))
      throw new Error(`the header names ${name} and ${rules.get(hash)?.name} have the same hash`);
    rules.set(hash, {
      name,
      index: read.indexOf(name),
      isDropped: drop.includes(name),
      isSingleton: once.includes(name),
    });
  }
  return rules;
}

/** Whether that part of the text is `name` in any case. Known names consist of letters, digits and hyphens. */
function hasName(text: string, start: number, end: number, name: string): boolean {
  if (end - start !== name.length) return false;
  for (let at = 0; at < name.length; at++)
    if ((text.charCodeAt(start + at) | lowerCaseBit) !== name.charCodeAt(at)) return false;
  return true;
}

function storeValue(values: (string | undefined)[], { name, index, isSingleton }: Rule, value: string): void {
  const before = values[index];
  if (before !== undefined && isSingleton) throw new MalformedMessage(`repeated ${name}`);
  values[index] = before === undefined ? value : `${before}, ${value}`;
}

function removeListed(lines: string, listed: ReadonlySet<string>): string {
  return parseFieldLines(lines)
    .filter(([name]) => !listed.has(name))
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
}

/** Splits header lines into names, in lower case, and values. */
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
