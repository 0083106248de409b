import { FormatRegistry, type Static, type TObject, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { isTimeZone } from './local-hour.ts';

FormatRegistry.Set('time-zone', isTimeZone);

/** The environment is wrong: every fault in one message, so that it is mended in one go. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads settings from the environment by a TypeBox object whose keys are the variables' names.
 * Numbers and booleans are read from their text; a default stands where the variable is absent or
 * empty. Throws ConfigError naming each wrong variable, the shape it wants and its remedy; values are
 * never repeated, since they may be secrets.
 */
export function loadConfig<T extends TObject>(schema: T, env: Record<string, string | undefined>): Static<T> {
  const values: Record<string, unknown> = {};
  for (const name of Object.keys(schema.properties)) {
    const text = env[name];
    if (text !== undefined && text !== '') values[name] = text;
  }
  const config = Value.Convert(schema, Value.Default(schema, values));
  const faults = new Map<string, string>();
  for (const { path, message } of Value.Errors(schema, config)) {
    const name = path.slice(1).split('/')[0] ?? '';
    if (!faults.has(name))
      faults.set(name, describe(name, message, schema.properties[name], values[name] === undefined));
  }
  if (faults.size > 0) {
    throw new ConfigError(
      `the configuration has ${faults.size} fault(s):\n${[...faults.values()].join('\n')}`,
    );
  }
  return config as Static<T>;
}

function describe(name: string, message: string, schema: TSchema | undefined, missing: boolean): string {
  const wanted = schema?.description ?? 'see its schema';
  return missing
    ? `  ${name} is missing: set it to ${wanted}`
    : `  ${name} is wrong (${message.toLowerCase()}): set it to ${wanted}`;
}

/** Schemas of settings; the description completes the sentence "set it to …". */
export const setting = {
  text: (description: string, options: { default?: string; minLength?: number } = {}) =>
    Type.String({ description, minLength: 1, ...options }),
  url: (protocols: string, description: string, options: { default?: string } = {}) =>
    Type.String({
      pattern: `^(${protocols})://.+`,
      description: `${description} (${protocols.replaceAll('|', ':// or ')}://…)`,
      ...options,
    }),
  urls: (protocols: string, description: string) =>
    Type.String({
      pattern: `^(${protocols})://[^,]+(,(${protocols})://[^,]+)*$`,
      description: `${description} (${protocols.replaceAll('|', ':// or ')}://…,…)`,
    }),
  integer: (description: string, minimum: number, maximum: number, value: number) =>
    Type.Integer({
      description: `${description}: an integer from ${minimum} to ${maximum}`,
      minimum,
      maximum,
      default: value,
    }),
  timeZone: (description: string, value: string) =>
    Type.String({
      format: 'time-zone',
      description: `${description}: an IANA name such as Asia/Kolkata`,
      default: value,
    }),
  choice: <const Choice extends string>(description: string, choices: readonly Choice[], value: Choice) =>
    Type.Unsafe<Choice>(
      Type.String({
        pattern: `^(${choices.join('|')})$`,
        description: `${description}: ${choices.join(', ')}`,
        default: value,
      }),
    ),
};
