import { parseArgs } from 'node:util';
import { createNumberReader } from '../option-number.ts';

/** `bun run sim` as it was asked for. */
export type SimArguments =
  /** One seed with its trace; `faults`: only these of its faults. */
  | { kind: 'one'; seed: number; faults: readonly string[] | undefined; json: boolean }
  | {
      kind: 'campaign';
      firstSeed: number;
      seeds: number;
      minutes: number;
      lanes: number;
      shrinks: boolean;
      json: boolean;
    };

export type ParsedArguments =
  | { kind: 'run'; arguments: SimArguments }
  | { kind: 'help' }
  | { kind: 'wrong'; message: string };

export const usage = `bun run sim – the whole system under one seeded scheduler, with faults, then the invariants

The real services and the real SQL (on a PostgreSQL of its own) in one process: the seed decides the time,
the ids, the order of deliveries, and where instances die or stop, answers get lost and messages come
twice. The same seed gives the same run, step by step.

  --seed N          runs this seed and prints its trace
  --only a,b        with --seed: only these of its faults, by the ids in the trace ("" for none)
  --seeds K         runs K seeds from --from on (100)
  --from N          the first of them (1)
  --minutes M       begins no seed after M minutes (60)
  --lanes N         seeds that run at the same time, each on a database of its own (4)
  --no-shrink       does not look for the fewest faults with which a failing seed still fails
  --json            ends with one JSON object on the last line of stdout
  --help            this text

Exit code: 0 nothing was violated, 1 something was, 2 wrong usage.`;

const names = {
  seed: { type: 'string' },
  only: { type: 'string' },
  seeds: { type: 'string', default: '100' },
  from: { type: 'string', default: '1' },
  minutes: { type: 'string', default: '60' },
  lanes: { type: 'string', default: '4' },
  'no-shrink': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** All that is wrong in one message. */
export function parseArguments(args: string[]): ParsedArguments {
  let values: ReturnType<typeof read>;
  try {
    values = read(args);
  } catch (error) {
    return { kind: 'wrong', message: error instanceof Error ? error.message : String(error) };
  }
  if (values.help) return { kind: 'help' };
  const wrong: string[] = [];
  const anyNumber = createNumberReader<keyof typeof names>(wrong);
  const number = (name: keyof typeof names, text: string, least: number, most: number, whole = true) =>
    anyNumber(name, text, least, most, whole);
  const { json, seed, only } = values;
  if (only !== undefined && seed === undefined) wrong.push('--only needs --seed');
  const parsed: SimArguments =
    seed === undefined
      ? {
          kind: 'campaign',
          firstSeed: number('from', values.from, 0, 2 ** 31),
          seeds: number('seeds', values.seeds, 1, 1_000_000),
          minutes: number('minutes', values.minutes, 0.01, 10_000, false),
          lanes: number('lanes', values.lanes, 1, 16),
          shrinks: !values['no-shrink'],
          json,
        }
      : { kind: 'one', seed: number('seed', seed, 0, 2 ** 32 - 1), faults: idsOf(only), json };
  return wrong.length > 0 ? { kind: 'wrong', message: wrong.join('\n') } : { kind: 'run', arguments: parsed };
}

const idsOf = (list: string | undefined): string[] | undefined =>
  list
    ?.split(',')
    .map((id) => id.trim())
    .filter((id) => id !== '');

const read = (args: string[]) =>
  parseArgs({ args, options: names, strict: true, allowPositionals: false }).values;
