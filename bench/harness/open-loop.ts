import { systemClock } from '../../src/platform/clock.ts';
import { Problem } from '../../src/platform/problems.ts';
import type { BenchOptions, BenchResult } from './bench.ts';
import { type Percentiles, percentilesOf, roundToFourDigits } from './statistics.ts';

export interface OpenLoopLoad {
  perSecond: number;
  seconds: number;
  /** The most concurrent calls. A call that is due while all are busy starts late, and its latency includes the wait. */
  inFlightMax?: number;
  /** Receives the time when the call was due, by `performance.now()`. */
  operate(dueMs: number): Promise<unknown>;
}

export interface OpenLoopResult extends Percentiles {
  perSecond: number;
  /** Calls that were due, and those that succeeded. */
  due: number;
  completed: number;
  /** Failed calls by code; `not_started` counts calls that still waited for a slot at the end. */
  failed: Record<string, number>;
}

const inFlightMaxDefault = 4_096;
// A system that lags this far will not catch up.
const overtimeSecondsMax = 30;

/**
 * Starts calls at a steady pace, whether earlier calls have ended or not (open loop: a slow response delays no
 * later call), and waits for all of them. A latency counts from the time when the call was due, so it includes a
 * late start. Failed calls are counted and do not stop the load.
 */
export async function runOpenLoop(load: OpenLoopLoad): Promise<OpenLoopResult> {
  const { perSecond, seconds, inFlightMax = inFlightMaxDefault, operate } = load;
  const total = Math.floor(perSecond * seconds);
  const latenciesMs: number[] = [];
  const failed: Record<string, number> = {};
  const fail = (code: string, count = 1) => {
    failed[code] = (failed[code] ?? 0) + count;
  };
  const running = new Set<Promise<void>>();
  const startedMs = performance.now();
  const giveUpMs = startedMs + (seconds + overtimeSecondsMax) * 1_000;

  let started = 0;
  for (; started < total && performance.now() < giveUpMs; await systemClock.sleep(1)) {
    const dueNow = Math.min(total, Math.floor(((performance.now() - startedMs) / 1_000) * perSecond) + 1);
    for (; started < dueNow && running.size < inFlightMax; started++)
      startCall(startedMs + (started / perSecond) * 1_000);
  }
  await Promise.all(running);
  if (started < total) fail('not_started', total - started);
  return { perSecond, due: total, completed: latenciesMs.length, failed, ...percentilesOf(latenciesMs) };

  function startCall(dueMs: number): void {
    const call = operate(dueMs)
      .then(
        () => void latenciesMs.push(performance.now() - dueMs),
        (error: unknown) => fail(codeOf(error)),
      )
      .then(() => void running.delete(call));
    running.add(call);
  }
}

/** Runs an open loop as a part of a bench: prints progress and saves the result in case a later part fails. */
export async function runOpenLoopPart(
  options: BenchOptions,
  name: string,
  load: OpenLoopLoad,
): Promise<OpenLoopResult> {
  options.signal.throwIfAborted();
  options.reportProgress(`${name}: open loop at ${Math.round(load.perSecond)}/s`);
  const result = await runOpenLoop(load);
  const partResult = openLoopBenchResult(result);
  options.savePart(`${name}, open loop`, partResult);
  if (result.completed < result.due) options.reportProgress(`  failed: ${JSON.stringify(result.failed)}`);
  return result;
}

/** The result with the keys of a bench report. */
export const openLoopBenchResult = ({
  perSecond,
  p50Ms,
  p95Ms,
  p99Ms,
  failed,
}: OpenLoopResult): BenchResult => ({
  openLoopPerSecond: roundToFourDigits(perSecond),
  p50Ms: roundToFourDigits(p50Ms),
  p95Ms: roundToFourDigits(p95Ms),
  p99Ms: roundToFourDigits(p99Ms),
  openLoopFailed: failed,
});

const messageLengthMax = 80;

function codeOf(error: unknown): string {
  if (error instanceof Problem) return error.code;
  if (!(error instanceof Error)) return String(error).slice(0, messageLengthMax);
  return 'code' in error ? String(error.code) : error.message.slice(0, messageLengthMax);
}
