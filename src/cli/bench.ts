import { type BenchArguments, runBenchCommand } from '../../bench/harness/command.ts';
import { type ParsedArguments, parseOptions, runCommand } from '../tools/command/options.ts';

const roundsMax = 101;
const secondsMin = 0.01;
const secondsMax = 600;

const help = `bun run bench [NAME] [options]

Lists the benchmarks, or runs one. The servers that it needs are started with durable settings and
stopped at the end. This code and a baseline run alternately, in an order that changes with each round. The
last line is one JSON object: {name, perSecond, ratio, baselinePerSecond, p50Ms, p95Ms, p99Ms,
cpuMicrosPerOp, baselineCpuMicrosPerOp, rounds, commit, date, …} with the keys that apply; ratio is
this code ÷ baseline. A benchmark that fails ends with {name, failed, kept: {part: …}} and exit code
1. Required programs (wrk, HAProxy, …) are installed with apt-get, or named if that is not allowed.

  --save        also save the report in bench/results/
  --table       write the table of docs/performance.md from the newest reports, and run nothing
  --rounds N    number of rounds (7)
  --seconds S   duration of each of the two in each round (5)
  --json        print only the JSON to stdout
  --help        show this help`;

/** `bun run bench`. Resolves to the exit code: 0 if it ran, whatever the result; 2 on wrong usage. */
export const run = (args: string[]): Promise<number> =>
  runCommand('bench', help, parseArguments(args), runBenchCommand);

const names = {
  rounds: { type: 'string', default: '7' },
  seconds: { type: 'string', default: '5' },
  save: { type: 'boolean', default: false },
  table: { type: 'boolean', default: false },
} as const;

const parseArguments = (args: string[]): ParsedArguments<BenchArguments> =>
  parseOptions(
    args,
    names,
    ({ values, positionals, number, integer, addError }) => {
      if (positionals.length > 1) addError('name only one benchmark');
      return {
        name: positionals[0],
        rounds: integer('rounds', values.rounds, 1, roundsMax),
        seconds: number('seconds', values.seconds, secondsMin, secondsMax),
        json: values.json,
        save: values.save,
        table: values.table,
      };
    },
    true,
  );
