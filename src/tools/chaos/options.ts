import { type ParsedArguments, parseOptions } from '../command/options.ts';
import { type ChaosFaultKind, chaosFaultKinds } from './fault-kinds.ts';

/** `bun run chaos` as it was asked for. */
export type ChaosArguments =
  | {
      kind: 'campaign';
      seed: number;
      kinds: readonly ChaosFaultKind[];
      faults: number;
      minutes: number;
      drivers: number;
      recoverySecondsMax: number;
      json: boolean;
    }
  | { kind: 'broker-away'; seed: number; seconds: number; drivers: number; json: boolean };

export const usage = `bun run chaos – faults against the real system while a city drives, then the invariants

Starts PostgreSQL (primary and replica), two Redis, RabbitMQ and the six services, all of its own, with a
TCP proxy in each way between them. Rounds of faults by seed, each followed by healing, by the time until
trips are created as fast as before, and by the invariants; at the end, when every ride is over, all of
them, and the clients' own history: acknowledged ⊆ final ⊆ attempted.

  --seed N              the same seed gives the same faults (1)
  --faults K            at least so many faults (200)
  --minutes M           no new round after M minutes (60)
  --kinds a,b           only these kinds of faults:
${wrap(chaosFaultKinds.map(({ name }) => name))}
  --drivers N           drivers of the city (30)
  --recovery-seconds S  longer than this until normal is a violation (10)
  --scenario broker-away   instead: RabbitMQ stopped under load
  --seconds S           … for so long (60)
  --json                end with one JSON object on the last line of stdout
  --help                this text

Exit code: 0 nothing was violated, 1 something was, 2 wrong usage.`;

const names = {
  seed: { type: 'string', default: '1' },
  faults: { type: 'string', default: '200' },
  minutes: { type: 'string', default: '60' },
  kinds: { type: 'string' },
  drivers: { type: 'string', default: '30' },
  'recovery-seconds': { type: 'string', default: '10' },
  scenario: { type: 'string' },
  seconds: { type: 'string', default: '60' },
} as const;

export const parseArguments = (args: string[]): ParsedArguments<ChaosArguments> =>
  parseOptions(args, names, ({ values, number, integer, addError }) => {
    const common = {
      seed: integer('seed', values.seed, 0, 2 ** 32 - 1),
      drivers: integer('drivers', values.drivers, 1, 10_000),
      json: values.json,
    };
    const seconds = number('seconds', values.seconds, 1, 3_600);
    const campaign = {
      kind: 'campaign' as const,
      ...common,
      kinds: chooseKinds(values.kinds, addError),
      faults: integer('faults', values.faults, 1, 1e6),
      minutes: number('minutes', values.minutes, 0.01, 10_000),
      recoverySecondsMax: number('recovery-seconds', values['recovery-seconds'], 0.1, 600),
    };
    if (values.scenario === undefined) return campaign;
    if (values.scenario !== 'broker-away')
      addError(`--scenario must be broker-away, not "${values.scenario}"`);
    return { kind: 'broker-away', ...common, seconds };
  });

function chooseKinds(text: string | undefined, wrong: (message: string) => void): readonly ChaosFaultKind[] {
  if (text === undefined) return chaosFaultKinds;
  const wanted = text.split(',').map((name) => name.trim());
  for (const name of wanted)
    if (!chaosFaultKinds.some((kind) => kind.name === name)) wrong(`--kinds: there is no kind "${name}"`);
  return chaosFaultKinds.filter(({ name }) => wanted.includes(name));
}

function wrap(words: readonly string[]): string {
  const indent = ' '.repeat(24);
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < 100) lines[lines.length - 1] = `${last}, ${word}`;
    else lines.push(`${indent}${word}`);
  }
  return lines.join(',\n');
}
