import { basisPointsPerWhole } from '@contracts/money.ts';
import { type Static, type TObject, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { isTimeZone } from './local-hour.ts';
import { parseInteger } from './numbers.ts';

/** The environment is wrong: every fault in one message, so that it is mended in one go. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** Each fault names its setting and the remedy. */
  constructor(faults: readonly string[]) {
    super(
      `the configuration has ${faults.length} fault(s):\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
    );
  }
}

/** What `setting` adds to a schema; without `read` the text stands for itself. */
interface Reading {
  /** The value that a text denotes; undefined when it denotes none. */
  read?: (text: string) => string | number | undefined;
  /** The name that this setting had once, in another unit: setting it still would have no effect. */
  formerly?: string;
}

/**
 * Reads settings from the environment by a TypeBox object whose keys are the variables' names. A value is
 * read strictly: it is exactly what its text says, or a fault. A default stands where the variable is absent
 * or empty. Throws ConfigError naming each wrong variable, the shape it wants and its remedy; values are
 * never repeated, since they may be secrets.
 */
export function loadConfig<T extends TObject>(schema: T, env: Record<string, string | undefined>): Static<T> {
  const values: Record<string, unknown> = {};
  const faults = new Map<string, string>();
  const remedyOf = (name: string) => schema.properties[name]?.description ?? 'what its schema says';
  const note = (name: string, fault: string) => {
    if (!faults.has(name)) faults.set(name, `${name} ${fault}: set it to ${remedyOf(name)}`);
  };
  for (const [name, own] of Object.entries<TSchema & Reading>(schema.properties)) {
    const { read = (text: string) => text, formerly } = own;
    if (formerly !== undefined && isSet(env[formerly]))
      faults.set(formerly, `${formerly} is not read any more: set ${name} to ${remedyOf(name)}`);
    const text = env[name];
    if (!isSet(text)) continue;
    const value = read(text);
    if (value === undefined) note(name, 'is wrong');
    else values[name] = value;
  }
  const config = Value.Default(schema, values);
  for (const { path, message } of Value.Errors(schema, config)) {
    const name = path.slice(1).split('/')[0] ?? '';
    note(name, isSet(env[name]) ? `is wrong (${message.toLowerCase()})` : 'is missing');
  }
  if (faults.size > 0) throw new ConfigError([...faults.values()]);
  return config as Static<T>;
}

const isSet = (text: string | undefined): text is string => text !== undefined && text !== '';

/** Schemas of settings; the description completes the sentence "set it to …". */
export const setting = {
  text: (description: string, options: { default?: string; minLength?: number } = {}) =>
    Type.String({ description, minLength: 1, ...options }),
  /** Text of a shape that a pattern can't say. */
  validated: (description: string, is: (text: string) => boolean, options: { default?: string } = {}) =>
    Type.String({ description, read: (text: string) => (is(text) ? text : undefined), ...options }),
  /** Items separated by commas, with or without spaces; none is empty. */
  list: (description: string, is: (item: string) => boolean, options: { default?: string } = {}) =>
    setting.validated(description, (text) => splitList(text).every(is), options),
  url: (protocols: string, description: string) =>
    setting.validated(`${description} (${protocols.replaceAll('|', ':// or ')}://…)`, isUrl(protocols)),
  urls: (protocols: string, description: string) =>
    setting.list(`${description} (${protocols.replaceAll('|', ':// or ')}://…,…)`, isUrl(protocols)),
  integer: (
    description: string,
    minimum: number,
    maximum: number,
    value: number,
    options: Pick<Reading, 'formerly'> = {},
  ) =>
    Type.Integer({
      description: `${description}: an integer from ${minimum} to ${maximum}`,
      read: parseInteger,
      minimum,
      maximum,
      default: value,
      ...options,
    }),
  /** A share in hundredths of a percent: 10,000 is the whole, 1,250 is 12.5%. */
  basisPoints: (description: string, value: number, formerly: string) =>
    setting.integer(`${description}, in basis points (100 are one percent)`, 0, basisPointsPerWhole, value, {
      formerly,
    }),
  timeZone: (description: string, value: string) =>
    setting.validated(`${description}: an IANA name such as Asia/Kolkata`, isTimeZone, { default: value }),
  choice: <const Choice extends string>(description: string, choices: readonly Choice[], value: Choice) =>
    Type.Unsafe<Choice>(
      setting.validated(
        `${description}: ${choices.join(', ')}`,
        (text) => choices.some((one) => one === text),
        {
          default: value,
        },
      ),
    ),
};

/** The items of a list, as `setting.list` takes them. */
export const splitList = (list: string): string[] => list.split(',').map((item) => item.trim());

/** `*`, a name or an address, without a port. */
export const isHostName = (text: string): boolean => /^(\*|[\w.-]+|\[[\da-f:.]+\])$/i.test(text);

/** A web origin as browsers send it: `https://app.example`; there are no patterns of origins. */
export const isOrigin = (text: string): boolean =>
  /^https?:\/\/[^*]+$/.test(text) && URL.parse(text)?.origin === text;

/** A whole URL with a host, and no character that a parser would drop. */
const isUrl = (protocols: string) => {
  const allowed = protocols.split('|').map((protocol) => `${protocol}:`);
  return (text: string): boolean => {
    const url = /[\s\p{Cc}]/u.test(text) ? null : URL.parse(text);
    if (url === null || !allowed.includes(url.protocol)) return false;
    return text.startsWith(`${url.protocol}//`) && url.hostname !== '';
  };
};
