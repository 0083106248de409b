import type { ServerProgram, Servers } from '../../src/tools/servers/index.ts';
import type { Percentiles } from './statistics.ts';

/** The servers that a bench needs. All run with durable settings. */
export interface ServerNeeds {
  postgres?: boolean;
  /** A streaming replica beside PostgreSQL. */
  replica?: boolean;
  redis?: boolean;
  rabbitmq?: boolean;
}

export interface BenchOptions {
  /** Interleaved rounds; each runs ours and the baseline once. */
  rounds: number;
  /** How long each of the two runs in a round takes. */
  seconds: number;
  /** Starts the servers with fsync and synchronous commits; they stop with the bench. Call it once. */
  startServers(needs: ServerNeeds): Promise<Servers>;
  /** Prints one line of progress. */
  reportProgress(line: string): void;
  /** Saves the result of a part of the bench: it is reported even when a later part fails. */
  savePart(part: string, result: BenchResult): void;
  /** Aborted by Ctrl-C: stop soon. */
  signal: AbortSignal;
}

/**
 * The result of a bench with the keys that apply; the command adds `rounds`, `commit`, `date` and `cpus`.
 * `ratio` is the throughput of ours divided by that of the baseline: higher is better.
 */
export interface BenchResult extends Partial<Percentiles> {
  perSecond?: number;
  baselinePerSecond?: number;
  ratio?: number;
  /** User and system CPU time of the working process per operation. */
  cpuMicrosPerOp?: number;
  baselineCpuMicrosPerOp?: number;
  rounds?: number;
  [more: string]:
    | number
    | string
    | boolean
    | readonly number[]
    | Readonly<Record<string, number>>
    | undefined;
}

/** One number of the result, as docs/performance.md shows it. */
export interface Figure {
  key: string;
  /** What the number says, with the unit that is not in `unit`: "GET ÷ HAProxy as a plain proxy". */
  label: string;
  unit: 'ratio' | '/s' | 'ms' | 's' | 'µs' | 'ns' | 'bytes' | 'share' | 'count';
  goal?: { min: number } | { max: number };
}

/** The export `bench` of each `bench/<name>.ts`. */
export interface Bench {
  name: string;
  /** One line that says what is measured against which baseline. */
  describes: string;
  /** Programs that the bench runs; they are installed before it starts, where that is allowed. */
  programs?: readonly ServerProgram[];
  /** What docs/performance.md shows of the result. */
  figures: readonly Figure[];
  run(options: BenchOptions): Promise<BenchResult>;
}
