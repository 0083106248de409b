import { type ParsedArguments, parseOptions } from '../command/options.ts';

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
} as const;

export const parseArguments = (args: string[]): ParsedArguments<SimArguments> =>
  parseOptions(args, names, ({ values, number, integer, addError }) => {
    const { json, seed, only } = values;
    if (only !== undefined && seed === undefined) addError('--only needs --seed');
    if (seed !== undefined)
      return { kind: 'one', seed: integer('seed', seed, 0, 2 ** 32 - 1), faults: idsOf(only), json };
    return {
      kind: 'campaign',
      firstSeed: integer('from', values.from, 0, 2 ** 31),
      seeds: integer('seeds', values.seeds, 1, 1_000_000),
      minutes: number('minutes', values.minutes, 0.01, 10_000),
      lanes: integer('lanes', values.lanes, 1, 16),
      shrinks: !values['no-shrink'],
      json,
    };
  });

const idsOf = (list: string | undefined): string[] | undefined =>
  list
    ?.split(',')
    .map((id) => id.trim())
    .filter((id) => id !== '');
