import type { Bench } from '../../bench/harness/bench.ts';
import { findBenches, runBench } from '../../bench/harness/run.ts';
import { handleInterrupts } from '../tools/command/interruption.ts';
import { type ParsedArguments, parseOptions, runCommand } from '../tools/command/options.ts';
import { ServerError } from '../tools/servers/index.ts';

const roundsMax = 101;
const secondsMin = 0.01;
const secondsMax = 600;
const interruptedExitCode = 130;

const help = `bun run bench [NAME] [options]

Lists the benchmarks, or runs one. It starts the servers it needs, with durable settings, and stops
them. Ours and a baseline run in turns, in an order that is turned round each round. The last line is
one JSON object: {name, perSecond, ratio, baselinePerSecond, p50Ms, p95Ms, p99Ms, cpuMicrosPerOp,
baselineCpuMicrosPerOp, rounds, commit, date, …} with the keys that apply. ratio is ours ÷ baseline.
One that fails half way ends with {name, failed, kept: {part: …}} and exit code 1. The programs that
it needs (wrk, HAProxy, …) are installed with apt-get before it starts, or named.

  --rounds N    (default 7)
  --seconds S   of each of the two in each round (default 5)
  --json        nothing but the JSON on stdout
  --help        this text`;

/** `bun run bench`. Resolves to the exit code: 0 when it ran, whatever the figures; 2 on wrong usage. */
export const run = (args: string[]): Promise<number> =>
  runCommand('bench', help, parseArguments(args), bench);

async function bench({ name, rounds, seconds, json }: BenchArguments): Promise<number> {
  const benches = await findBenches();
  if (name === undefined) {
    list(benches, json);
    return 0;
  }
  const asked = benches.find((each) => each.name === name);
  if (asked === undefined) {
    console.error(`there is no benchmark ${name}; there are: ${benches.map((each) => each.name).join(', ')}`);
    return 2;
  }
  return measure(asked, { rounds, seconds });
}

async function measure(bench: Bench, sizes: { rounds: number; seconds: number }): Promise<number> {
  const interruption = handleInterrupts();
  try {
    const { signal } = interruption;
    const report = await runBench(bench, { ...sizes, signal, reportProgress: (line) => console.error(line) });
    console.log(JSON.stringify(report));
    if (!('kept' in report)) return 0;
    console.error(`${bench.name} failed: ${report.failed}`);
    return signal.aborted ? interruptedExitCode : 1;
  } catch (error) {
    if (interruption.signal.aborted) return interruptedExitCode;
    if (!(error instanceof ServerError)) throw error;
    console.error(error.message);
    return 1;
  } finally {
    interruption.restore();
  }
}

function list(benches: readonly Bench[], json: boolean): void {
  const width = Math.max(...benches.map(({ name }) => name.length));
  const lines = benches.map(({ name, describes }) => `  bun run bench ${name.padEnd(width)}  ${describes}`);
  const told = benches.map(({ name, describes }) => ({ name, describes }));
  console.log(json ? JSON.stringify(told) : lines.join('\n'));
}

interface BenchArguments {
  name: string | undefined;
  rounds: number;
  seconds: number;
  json: boolean;
}

const names = {
  rounds: { type: 'string', default: '7' },
  seconds: { type: 'string', default: '5' },
} as const;

const parseArguments = (args: string[]): ParsedArguments<BenchArguments> =>
  parseOptions(
    args,
    names,
    ({ values, positionals, number, integer, addError }) => {
      if (positionals.length > 1) addError('one benchmark at a time');
      return {
        name: positionals[0],
        rounds: integer('rounds', values.rounds, 1, roundsMax),
        seconds: number('seconds', values.seconds, secondsMin, secondsMax),
        json: values.json,
      };
    },
    true,
  );
