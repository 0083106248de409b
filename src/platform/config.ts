import { basisPointsPerWhole } from '@contracts/money.ts';
import { type Static, type TObject, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { isTimeZone } from './local-hour.ts';
import { parseInteger } from './numbers.ts';

/** The environment is invalid. The message lists every fault, so that all can be fixed at once. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** Each fault names the setting and how to fix it. */
  constructor(faults: readonly string[]) {
    super(
      `the configuration has ${faults.length} fault(s):\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
    );
  }
}

/** What `setting` adds to a schema. Without `parse` the value is the text itself. */
interface SettingOptions {
  /** Returns the value of a text, or undefined when the text is invalid. */
  parse?: (text: string) => string | number | undefined;
  /** The former name of this setting, which had another unit. It is a fault to still set it. */
  formerName?: string;
}

/**
 * Reads settings from the environment by a TypeBox object whose keys are the names of the variables. Values are
 * parsed strictly and never guessed. The default is used where a variable is absent or empty. Throws a ConfigError
 * that names each invalid variable and the expected value. The given values are never repeated, since they may be
 * secrets.
 */
export function loadConfig<T extends TObject>(schema: T, env: Record<string, string | undefined>): Static<T> {
  const values: Record<string, unknown> = {};
  const faults = new Map<string, string>();
  const expectedValue = (name: string) => schema.properties[name]?.description ?? 'a value of its schema';
  const addFault = (name: string, fault: string) => {
    if (!faults.has(name)) faults.set(name, `${name} ${fault}: set it to ${expectedValue(name)}`);
  };
  for (const [name, property] of Object.entries<TSchema & SettingOptions>(schema.properties)) {
    const { parse = (text: string) => text, formerName } = property;
    if (formerName !== undefined && isSet(env[formerName]))
      faults.set(formerName, `${formerName} was renamed: set ${name} to ${expectedValue(name)}`);
    const text = env[name];
    if (!isSet(text)) continue;
    const value = parse(text);
    if (value === undefined) addFault(name, 'is invalid');
    else values[name] = value;
  }
  const config = Value.Default(schema, values);
  for (const { path, message } of Value.Errors(schema, config)) {
    const name = path.slice(1).split('/')[0] ?? '';
    addFault(name, isSet(env[name]) ? `is invalid (${message.toLowerCase()})` : 'is missing');
  }
  if (faults.size > 0) throw new ConfigError([...faults.values()]);
  return config as Static<T>;
}

const isSet = (text: string | undefined): text is string => text !== undefined && text !== '';

/** Schemas of settings. The description completes the sentence "set it to …". */
export const setting = {
  text: (description: string, options: { default?: string; minLength?: number } = {}) =>
    Type.String({ description, minLength: 1, ...options }),
  /** Text that a function validates. */
  validated: (description: string, isValid: (text: string) => boolean, options: { default?: string } = {}) =>
    Type.String({ description, parse: (text: string) => (isValid(text) ? text : undefined), ...options }),
  /** Items separated by commas, with or without spaces. `isValid` must reject the empty item. */
  list: (description: string, isValid: (item: string) => boolean, options: { default?: string } = {}) =>
    setting.validated(description, (text) => splitList(text).every(isValid), options),
  url: (protocols: string, description: string) =>
    setting.validated(`${description} (${protocols.replaceAll('|', ':// or ')}://…)`, isUrl(protocols)),
  urls: (protocols: string, description: string) =>
    setting.list(`${description} (${protocols.replaceAll('|', ':// or ')}://…,…)`, isUrl(protocols)),
  integer: (
    description: string,
    minimum: number,
    maximum: number,
    value: number,
    options: Pick<SettingOptions, 'formerName'> = {},
  ) =>
    Type.Integer({
      description: `${description}: an integer from ${minimum} to ${maximum}`,
      parse: parseInteger,
      minimum,
      maximum,
      default: value,
      ...options,
    }),
  /** A share in hundredths of a percent: 10,000 are 100%, 1,250 are 12.5%. */
  basisPoints: (description: string, value: number, formerName: string) =>
    setting.integer(`${description}, in basis points (100 are one percent)`, 0, basisPointsPerWhole, value, {
      formerName,
    }),
  timeZone: (description: string, value: string) =>
    setting.validated(`${description}: an IANA name such as Asia/Kolkata`, isTimeZone, { default: value }),
  choice: <const Choice extends string>(description: string, choices: readonly Choice[], value: Choice) =>
    Type.Unsafe<Choice>(
      setting.validated(
        `${description}: ${choices.join(', ')}`,
        (text) => choices.some((choice) => choice === text),
        {
          default: value,
        },
      ),
    ),
};

/** Splits the value of a `setting.list` into its items. */
export const splitList = (list: string): string[] => list.split(',').map((item) => item.trim());

/** Whether a text is `*`, a host name or an IP address, without a port. */
export const isHostName = (text: string): boolean => /^(\*|[\w.-]+|\[[\da-f:.]+\])$/i.test(text);

/** Whether a text is a web origin as browsers send it, such as `https://app.example`. Patterns are not origins. */
export const isOrigin = (text: string): boolean =>
  /^https?:\/\/[^*]+$/.test(text) && URL.parse(text)?.origin === text;

/** Accepts a complete URL with a host and without characters that a parser would drop. */
const isUrl = (protocols: string) => {
  const allowed = protocols.split('|').map((protocol) => `${protocol}:`);
  return (text: string): boolean => {
    const url = /[\s\p{Cc}]/u.test(text) ? null : URL.parse(text);
    if (url === null || !allowed.includes(url.protocol)) return false;
    return text.startsWith(`${url.protocol}//`) && url.hostname !== '';
  };
};
