import { parseArgs } from 'node:util';
import type { Bench } from '../../bench/harness/bench.ts';
import { findBenches, runBench } from '../../bench/harness/run.ts';
import { interruptible } from './interruptible.ts';
import { ServerError } from './servers/index.ts';

const roundsMax = 101;
const secondsMax = 600;
const interruptedExitCode = 130;

const help = `bun run bench [NAME] [options]

Lists the benchmarks, or runs one. It starts the servers it needs, with durable settings, and stops
them. Ours and a baseline run in turns, in an order that is turned round each round. The last line is
one JSON object: {name, perSecond, ratio, baselinePerSecond, p50Ms, p95Ms, p99Ms, cpuMicrosPerOp,
baselineCpuMicrosPerOp, rounds, commit, date, …} with the keys that apply. ratio is ours ÷ baseline.

  --rounds N    (default 7)
  --seconds S   of each of the two in each round (default 5)
  --json        nothing but the JSON on stdout
  --help        this text`;

/** `bun run bench`. Resolves to the exit code: 0 when it ran, whatever the figures; 2 on wrong usage. */
export async function run(args: string[]): Promise<number> {
  const parsed = parse(args);
  if (typeof parsed === 'string') {
    console.error(`${parsed}\n\n"bun run bench --help" tells what can be said.`);
    return 2;
  }
  const { name, rounds, seconds, json } = parsed;
  if (parsed.help) {
    console.log(help);
    return 0;
  }
  const benches = await findBenches();
  if (name === undefined) {
    list(benches, json);
    return 0;
  }
  const bench = benches.find((each) => each.name === name);
  if (bench === undefined) {
    console.error(`there is no benchmark ${name}; there are: ${benches.map((each) => each.name).join(', ')}`);
    return 2;
  }
  return measure(bench, { rounds, seconds });
}

async function measure(bench: Bench, sizes: { rounds: number; seconds: number }): Promise<number> {
  const interruption = interruptible();
  try {
    const { signal } = interruption;
    const report = await runBench(bench, { ...sizes, signal, say: (line) => console.error(line) });
    console.log(JSON.stringify(report));
    return 0;
  } catch (error) {
    if (interruption.signal.aborted) return interruptedExitCode;
    if (!(error instanceof ServerError)) throw error;
    console.error(error.message);
    return 1;
  } finally {
    interruption.end();
  }
}

function list(benches: readonly Bench[], json: boolean): void {
  const width = Math.max(...benches.map(({ name }) => name.length));
  const lines = benches.map(({ name, describes }) => `  bun run bench ${name.padEnd(width)}  ${describes}`);
  const told = benches.map(({ name, describes }) => ({ name, describes }));
  console.log(json ? JSON.stringify(told) : lines.join('\n'));
}

interface Arguments {
  name: string | undefined;
  rounds: number;
  seconds: number;
  json: boolean;
  help: boolean;
}

/** What was asked for, or what is wrong with it. */
function parse(args: string[]): Arguments | string {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        rounds: { type: 'string', default: '7' },
        seconds: { type: 'string', default: '5' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
    if (positionals.length > 1) return 'one benchmark at a time';
    if (!Number.isInteger(rounds) || rounds < 1 || rounds > roundsMax)
      return `--rounds: a whole number from 1 to ${roundsMax}`;
    if (!(seconds > 0 && seconds <= secondsMax)) return `--seconds: more than 0, at most ${secondsMax}`;
    return { name: positionals[0], rounds, seconds, json: values.json, help: values.help };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
