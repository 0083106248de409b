import type { ServerProgram, Servers } from '../../src/tools/servers/index.ts';
import type { Percentiles } from './statistics.ts';

/** Which servers a bench needs. All promise durability: nothing here measures a server that forgets. */
export interface ServerNeeds {
  postgres?: boolean;
  /** A streaming replica beside PostgreSQL. */
  replica?: boolean;
  redis?: boolean;
  rabbitmq?: boolean;
}

export interface BenchOptions {
  /** Interleaved rounds, each of ours and of the baseline once. */
  rounds: number;
  /** How long each of the two runs in each round. */
  seconds: number;
  /** Starts the servers, with fsync and synchronous commits; they end with the bench. Call it once. */
  startServers(needs: ServerNeeds): Promise<Servers>;
  /** One line of progress. */
  reportProgress(line: string): void;
  /** Keeps what a part of the benchmark found: it is reported even when a later part fails. */
  savePart(part: string, found: BenchResult): void;
  /** Aborted by Ctrl-C: end soon. */
  signal: AbortSignal;
}

/**
 * What a bench found, with the keys that apply; `rounds`, `commit`, `date`, `machine` are added by the
 * command. `ratio` is ours ÷ baseline in throughput: higher is better.
 */
export interface BenchResult extends Partial<Percentiles> {
  perSecond?: number;
  baselinePerSecond?: number;
  ratio?: number;
  /** CPU time of the process that does the work, user and system, for one operation. */
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

/** What `bench/<name>.ts` exports as `bench`. */
export interface Bench {
  name: string;
  /** One line: what is measured against what. */
  describes: string;
  /** Programs that it runs: installed before it starts, where that is allowed. */
  programs?: readonly ServerProgram[];
  run(options: BenchOptions): Promise<BenchResult>;
}
