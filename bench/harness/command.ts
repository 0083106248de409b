import { handleInterrupts } from '../../src/tools/command/interruption.ts';
import { ServerError } from '../../src/tools/servers/index.ts';
import type { Bench } from './bench.ts';
import { readLatestReports, saveReport, withTable } from './results.ts';
import { findBenches, runBench } from './run.ts';

const performancePage = `${import.meta.dir}/../../docs/performance.md`;
const interruptedExitCode = 130;

export interface BenchArguments {
  name: string | undefined;
  rounds: number;
  seconds: number;
  json: boolean;
  /** Keep the report in bench/results. */
  save: boolean;
  /** Write the table of docs/performance.md, and run nothing. */
  table: boolean;
}

/** Lists the benchmarks or runs one. Resolves to the exit code: 0 if it ran, whatever the result; 1 failure; 2 unknown name. */
export async function runBenchCommand(args: BenchArguments): Promise<number> {
  const { name, rounds, seconds, json, save, table } = args;
  const benches = await findBenches();
  if (table) {
    const page = Bun.file(performancePage);
    await Bun.write(page, withTable(await page.text(), benches, readLatestReports()));
    return 0;
  }
  if (name === undefined) {
    list(benches, json);
    return 0;
  }
  const found = benches.find((bench) => bench.name === name);
  if (found === undefined) {
    console.error(
      `unknown benchmark ${name}; available: ${benches.map(({ name: benchName }) => benchName).join(', ')}`,
    );
    return 2;
  }
  return runOne(found, { rounds, seconds }, save);
}

async function runOne(
  bench: Bench,
  sizes: { rounds: number; seconds: number },
  isSaved: boolean,
): Promise<number> {
  const interruption = handleInterrupts();
  try {
    const { signal } = interruption;
    const report = await runBench(bench, { ...sizes, signal, reportProgress: (line) => console.error(line) });
    console.log(JSON.stringify(report));
    if (!('kept' in report)) {
      if (isSaved) console.error(`saved ${saveReport({ ...report, seconds: sizes.seconds })}`);
      return 0;
    }
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
  const summaries = benches.map(({ name, describes }) => ({ name, describes }));
  console.log(json ? JSON.stringify(summaries) : lines.join('\n'));
}
