import { type ParsedArguments, parseOptions } from '../command/options.ts';
import type { ChaosFaultKind } from './fault.ts';
import { chaosFaultKinds } from './fault-kinds.ts';

/** The arguments of `bun run chaos`. */
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

export const usage = `bun run chaos – inject faults into the real system under load, then check the invariants

Starts its own PostgreSQL (primary and replica), two Redis servers, RabbitMQ and the six services, with a TCP
proxy in each connection between them. Injects rounds of faults by seed; after each round it heals them,
measures the time until trips are created as fast as before, and checks the invariants. When every trip has
ended it checks all invariants and the clients' history: acknowledged ⊆ final ⊆ attempted.

  --seed N              the same seed gives the same faults (default 1)
  --faults K            inject at least K faults (default 200)
  --minutes M           start no round after M minutes (default 60)
  --kinds a,b           inject only these kinds of faults:
${wrapNames(chaosFaultKinds.map(({ name }) => name))}
  --drivers N           drivers in the simulated city (default 30)
  --recovery-seconds S  a longer recovery is a violation (default 10)
  --scenario broker-away   instead of a campaign: stop RabbitMQ under load
  --seconds S           for broker-away: how long it is stopped (default 60)
  --json                print one JSON object as the last line of stdout
  --help                print this help

Exit code: 0 no violations, 1 violations, 2 invalid usage.`;

const definitions = {
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
  parseOptions(args, definitions, ({ values, number, integer, addError }) => {
    const common = {
      seed: integer('seed', values.seed, 0, 2 ** 32 - 1),
      drivers: integer('drivers', values.drivers, 1, 10_000),
      json: values.json,
    };
    const seconds = number('seconds', values.seconds, 1, 3_600);
    const campaign = {
      kind: 'campaign' as const,
      ...common,
      kinds: parseKinds(values.kinds, addError),
      faults: integer('faults', values.faults, 1, 1e6),
      minutes: number('minutes', values.minutes, 0.01, 10_000),
      recoverySecondsMax: number('recovery-seconds', values['recovery-seconds'], 0.1, 600),
    };
    if (values.scenario === undefined) return campaign;
    if (values.scenario !== 'broker-away')
      addError(`--scenario must be broker-away, not "${values.scenario}"`);
    return { kind: 'broker-away', ...common, seconds };
  });

function parseKinds(text: string | undefined, wrong: (message: string) => void): readonly ChaosFaultKind[] {
  if (text === undefined) return chaosFaultKinds;
  const selected = text.split(',').map((name) => name.trim());
  for (const name of selected)
    if (!chaosFaultKinds.some((kind) => kind.name === name)) wrong(`--kinds: unknown kind "${name}"`);
  return chaosFaultKinds.filter(({ name }) => selected.includes(name));
}

function wrapNames(words: readonly string[]): string {
  const indent = ' '.repeat(24);
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < 100) lines[lines.length - 1] = `${last}, ${word}`;
    else lines.push(`${indent}${word}`);
  }
  return lines.join(',\n');
}
