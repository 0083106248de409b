import type { BenchOptions } from './bench.ts';
import { cpuMicrosOf } from './cpu.ts';
import { alternateSides, median, roundToFourDigits, type Side } from './statistics.ts';

/** The measurement of one run of one side. */
export interface Measurement {
  operations: number;
  seconds: number;
  /** CPU time of the process that did the work. */
  cpuMicros: number;
  /** CPU time of the servers during the run, where it is known. */
  serverCpuMicros?: number;
}

/** Runs for about `seconds` and returns its measurement. */
export type Measure = (seconds: number) => Promise<Measurement>;

export interface Interleaved {
  /** Medians over the rounds; `ratio` is the median of the ratios of the rounds. */
  perSecond: number;
  baselinePerSecond: number;
  ratio: number;
  cpuMicrosPerOp: number;
  baselineCpuMicrosPerOp: number;
  /** The same for the servers; 0 where it is not known. */
  serverCpuMicrosPerOp: number;
  baselineServerCpuMicrosPerOp: number;
  rounds: number;
  /** Lowest and highest ratio of the rounds. */
  ratioRange: [number, number];
}

/**
 * Runs ours and the baseline in turns, after one short warm-up of each. After each round the result so far is
 * saved under `name`, in case a later round fails.
 */
export async function interleave(
  name: string,
  sides: Record<Side, Measure>,
  { rounds, seconds, reportProgress, savePart, signal }: BenchOptions,
): Promise<Interleaved> {
  const warmUpSeconds = Math.min(seconds, 2);
  for (const side of ['ours', 'baseline'] as const) {
    reportProgress(`${side}: warming up for ${warmUpSeconds} s`);
    await sides[side](warmUpSeconds);
  }
  const measured: Record<Side, Measurement[]> = { ours: [], baseline: [] };
  for (const [index, order] of alternateSides(rounds).entries()) {
    for (const side of order) {
      signal.throwIfAborted();
      Bun.gc(true);
      measured[side].push(await sides[side](seconds));
    }
    const [ours, baseline] = [measured.ours.at(-1), measured.baseline.at(-1)];
    if (ours !== undefined && baseline !== undefined)
      reportProgress(`round ${index + 1}/${rounds}: ours ${format(ours)}, baseline ${format(baseline)}`);
    savePart(name, { ...summarise(measured) });
  }
  return summarise(measured);
}

export function summarise({ ours, baseline }: Record<Side, readonly Measurement[]>): Interleaved {
  const ratios = ours.map((measurement, round) => perSecondOf(measurement) / perSecondOf(baseline[round]));
  return {
    perSecond: roundToFourDigits(median(ours.map(perSecondOf))),
    baselinePerSecond: roundToFourDigits(median(baseline.map(perSecondOf))),
    ratio: roundToFourDigits(median(ratios)),
    cpuMicrosPerOp: roundToFourDigits(median(ours.map(microsPerOp))),
    baselineCpuMicrosPerOp: roundToFourDigits(median(baseline.map(microsPerOp))),
    serverCpuMicrosPerOp: roundToFourDigits(median(ours.map(serverMicrosPerOp))),
    baselineServerCpuMicrosPerOp: roundToFourDigits(median(baseline.map(serverMicrosPerOp))),
    rounds: ours.length,
    ratioRange: [roundToFourDigits(Math.min(...ratios)), roundToFourDigits(Math.max(...ratios))],
  };
}

const perSecondOf = (measurement: Measurement | undefined): number =>
  measurement === undefined ? Number.NaN : measurement.operations / measurement.seconds;
const microsPerOp = (measurement: Measurement): number => measurement.cpuMicros / measurement.operations;
const serverMicrosPerOp = (measurement: Measurement): number =>
  (measurement.serverCpuMicros ?? 0) / measurement.operations;
const format = (measurement: Measurement): string =>
  `${Math.round(perSecondOf(measurement))}/s at ${Math.round(microsPerOp(measurement))} + ${Math.round(serverMicrosPerOp(measurement))} µs of CPU each`;

/**
 * Measures work of this process; `work` returns the number of operations. The CPU time of the processes in
 * `serverPids` is measured beside it.
 */
export async function measure(
  work: () => Promise<number>,
  serverPids: () => readonly number[] = () => [],
): Promise<Measurement> {
  const pids = serverPids();
  const serverCpu = cpuMicrosOf(pids);
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const operations = await work();
  const seconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const serverCpuMicros = cpuMicrosOf(pids) - serverCpu;
  return { operations, seconds, cpuMicros: user + system, serverCpuMicros };
}

/** Runs `inFlight` concurrent loops that call `operate` until the time is up. Returns the number of calls. */
export async function runClosedLoop(
  inFlight: number,
  seconds: number,
  operate: () => Promise<unknown>,
): Promise<number> {
  const endMs = performance.now() + seconds * 1000;
  let operations = 0;
  const loop = async () => {
    while (performance.now() < endMs) {
      await operate();
      operations++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, loop));
  return operations;
}
