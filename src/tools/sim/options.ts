import { type ParsedArguments, parseOptions } from '../command/options.ts';

/** The arguments of `bun run sim`. */
export type SimArguments =
  /** One seed with its trace; `faults` restricts it to these faults. */
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

export const usage = `bun run sim – simulate the whole system with injected faults, then check the invariants

Runs the real services and the real SQL (on its own PostgreSQL) in one process under a seeded scheduler. The
seed decides the time, the ids, the order of deliveries, and where instances crash or pause, answers are
lost and messages are duplicated. The same seed gives the same run, step by step.

  --seed N          run this seed and print its trace
  --only a,b        with --seed: inject only these faults, by their ids in the trace ("" for none)
  --seeds K         run K seeds (default 100)
  --from N          the first seed (default 1)
  --minutes M       start no seed after M minutes (default 60)
  --lanes N         seeds that run at the same time, each on a database of its own (default 4)
  --no-shrink       do not search for the fewest faults with which a failing seed still fails
  --json            print one JSON object as the last line of stdout
  --help            print this help

Exit code: 0 no violations, 1 violations, 2 invalid usage.`;

const definitions = {
  seed: { type: 'string' },
  only: { type: 'string' },
  seeds: { type: 'string', default: '100' },
  from: { type: 'string', default: '1' },
  minutes: { type: 'string', default: '60' },
  lanes: { type: 'string', default: '4' },
  'no-shrink': { type: 'boolean', default: false },
} as const;

export const parseArguments = (args: string[]): ParsedArguments<SimArguments> =>
  parseOptions(args, definitions, ({ values, number, integer, addError }) => {
    const { json, seed, only } = values;
    if (only !== undefined && seed === undefined) addError('--only needs --seed');
    if (seed !== undefined)
      return { kind: 'one', seed: integer('seed', seed, 0, 2 ** 32 - 1), faults: parseIds(only), json };
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

const parseIds = (list: string | undefined): string[] | undefined =>
  list
    ?.split(',')
    .map((id) => id.trim())
    .filter((id) => id !== '');
