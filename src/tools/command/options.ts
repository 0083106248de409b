import { type ParseArgsConfig, parseArgs } from 'node:util';
import { parseDecimal, parseInteger } from '@platform/numbers.ts';

/** A command's arguments as they were understood. */
export type ParsedArguments<Arguments> =
  | { kind: 'run'; arguments: Arguments }
  | { kind: 'help' }
  /** All that is wrong, with what to say instead. */
  | { kind: 'wrong'; message: string };

/** What every command takes. */
const common = {
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

type Definitions = NonNullable<ParseArgsConfig['options']>;
type Config<Own extends Definitions> = {
  args: string[];
  options: Own & typeof common;
  strict: true;
  allowPositionals: true;
};
type Parsed<Own extends Definitions> = ReturnType<typeof parseArgs<Config<Own>>>;

export interface OptionReader<Own extends Definitions> {
  values: Parsed<Own>['values'];
  /** What stands beside the options. */
  positionals: readonly string[];
  /** The number that an option's text says; out of its bounds it is wrong. */
  number(name: keyof Own & string, text: string, least: number, most: number): number;
  integer(name: keyof Own & string, text: string, least: number, most: number): number;
  /** Notes what is wrong; everything is told at once. */
  addError(message: string): void;
}

/** Reads a command's own options, `--json` and `--help`; one that nobody knows, or a stray word, is wrong. */
export function parseOptions<const Own extends Definitions, Arguments>(
  args: string[],
  own: Own,
  read: (reader: OptionReader<Own>) => Arguments,
  takesWords = false,
): ParsedArguments<Arguments> {
  const messages: string[] = [];
  const addError = (message: string) => void messages.push(message);
  const numberOf =
    (noun: string, read: (text: string) => number | undefined): OptionReader<Own>['number'] =>
    (name, text, least, most) => {
      const value = read(text);
      if (value !== undefined && value >= least && value <= most) return value;
      addError(`--${name} must be ${noun} from ${least} to ${most}, not "${text}"`);
      return least;
    };
  let parsed: Parsed<Own>;
  try {
    parsed = parseArgs({ args, options: { ...own, ...common }, strict: true, allowPositionals: true });
  } catch (error) {
    // What follows the first sentence is about words that look like options; no command takes such.
    return {
      kind: 'wrong',
      message: String(error instanceof Error ? error.message : error)
        .split('. ', 1)
        .join(),
    };
  }
  const { values, positionals } = parsed;
  if ('help' in values && values.help === true) return { kind: 'help' };
  if (!takesWords && positionals.length > 0) addError(`"${positionals[0]}" is no option`);
  const asked = read({
    values,
    positionals,
    number: numberOf('a number', parseDecimal),
    integer: numberOf('an integer', parseInteger),
    addError,
  });
  return messages.length > 0
    ? { kind: 'wrong', message: messages.join('\n') }
    : { kind: 'run', arguments: asked };
}

const usageExitCode = 2;

/** Does what a command was asked for, or tells its usage. Resolves to the exit code. */
export async function runCommand<Arguments>(
  name: string,
  usage: string,
  parsed: ParsedArguments<Arguments>,
  work: (asked: Arguments) => Promise<number>,
): Promise<number> {
  switch (parsed.kind) {
    case 'help':
      process.stdout.write(`${usage}\n`);
      return 0;
    case 'wrong':
      process.stderr.write(`${parsed.message}\n\n"bun run ${name} --help" tells what can be said.\n`);
      return usageExitCode;
    case 'run':
      return work(parsed.arguments);
  }
}
