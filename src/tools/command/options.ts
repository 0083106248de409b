import { type ParseArgsConfig, parseArgs } from 'node:util';
import { parseDecimal, parseInteger } from '@platform/numbers.ts';

/** The parsed arguments of a command. */
export type ParsedArguments<Arguments> =
  | { kind: 'run'; arguments: Arguments }
  | { kind: 'help' }
  /** All errors, one per line. */
  | { kind: 'wrong'; message: string };

/** Options of every command. */
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
  /** Arguments that are not options. */
  positionals: readonly string[];
  /** Parses the text of an option as a number between `min` and `max`; otherwise adds an error. */
  number(name: keyof Own & string, text: string, min: number, max: number): number;
  integer(name: keyof Own & string, text: string, min: number, max: number): number;
  /** Adds an error. All errors are reported together. */
  addError(message: string): void;
}

/** Parses the options of a command, `--json` and `--help`. Unknown options and unexpected arguments are errors. */
export function parseOptions<const Own extends Definitions, Arguments>(
  args: string[],
  own: Own,
  read: (reader: OptionReader<Own>) => Arguments,
  takesPositionals = false,
): ParsedArguments<Arguments> {
  const messages: string[] = [];
  const addError = (message: string) => void messages.push(message);
  const numberOf =
    (noun: string, read: (text: string) => number | undefined): OptionReader<Own>['number'] =>
    (name, text, min, max) => {
      const value = read(text);
      if (value !== undefined && value >= min && value <= max) return value;
      addError(`--${name} must be ${noun} from ${min} to ${max}, not "${text}"`);
      return min;
    };
  let parsed: Parsed<Own>;
  try {
    parsed = parseArgs({ args, options: { ...own, ...common }, strict: true, allowPositionals: true });
  } catch (error) {
    // The other sentences concern positionals that look like options, which no command accepts.
    return {
      kind: 'wrong',
      message: String(error instanceof Error ? error.message : error)
        .split('. ', 1)
        .join(),
    };
  }
  const { values, positionals } = parsed;
  if ('help' in values && values.help === true) return { kind: 'help' };
  if (!takesPositionals && positionals.length > 0) addError(`unexpected argument "${positionals[0]}"`);
  const parsedArguments = read({
    values,
    positionals,
    number: numberOf('a number', parseDecimal),
    integer: numberOf('an integer', parseInteger),
    addError,
  });
  return messages.length > 0
    ? { kind: 'wrong', message: messages.join('\n') }
    : { kind: 'run', arguments: parsedArguments };
}

const usageExitCode = 2;

/** Runs a command or prints its usage. Resolves to the exit code. */
export async function runCommand<Arguments>(
  name: string,
  usage: string,
  parsed: ParsedArguments<Arguments>,
  work: (parsedArguments: Arguments) => Promise<number>,
): Promise<number> {
  switch (parsed.kind) {
    case 'help':
      process.stdout.write(`${usage}\n`);
      return 0;
    case 'wrong':
      process.stderr.write(`${parsed.message}\n\nRun "bun run ${name} --help" for help.\n`);
      return usageExitCode;
    case 'run':
      return work(parsed.arguments);
  }
}
