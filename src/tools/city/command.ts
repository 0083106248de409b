import { systemClock } from '@platform/clock.ts';
import { handleInterrupts } from '../command/interruption.ts';
import type { DemandModel } from './demand.ts';
import { createRecordedDemand, parseDemand } from './demand-csv.ts';
import { findEdgeUrl, waitUntilReady } from './find-server.ts';
import { type City, CityError, createCity } from './index.ts';
import type { CityArguments } from './options.ts';
import { showProgress } from './progress.ts';
import { describeInvalidRows, describeSummary, exitCodeOf } from './summary.ts';

const readyTimeoutMs = 10_000;
const printError = (text: string) => void process.stderr.write(`${text}\n`);

/** Runs a city with the arguments of `bun run city`. Resolves to the exit code: 0 success, 1 violations or unprovoked errors, 2 unusable input or no server. */
export async function runCityCommand(options: CityArguments): Promise<number> {
  const recorded =
    options.demandFile === undefined ? undefined : await openDemand(options.demandFile, options.trips);
  if (recorded?.kind === 'unusable') {
    printError(recorded.message);
    return 2;
  }
  const url = options.url ?? (await findEdgeUrl(process.cwd()));
  const problem = await waitUntilReady(url, systemClock, readyTimeoutMs);
  if (problem !== undefined) {
    printError(problem);
    return 2;
  }
  const { drivers, trips, seed, ratePerSecond } = options;
  const { timeScale, declineRate, darkRate, cancelRate, declinedCardRate } = options;
  printError(
    `${drivers} drivers and ${Number.isFinite(trips) ? trips : 'endless'} trips at ${url}, seed ${seed}`,
  );
  const city = createCity({
    ...{ url, drivers, trips, seed, timeScale, declineRate, darkRate, cancelRate, declinedCardRate },
    ...(ratePerSecond === undefined ? {} : { ratePerSecond }),
    ...(recorded === undefined ? {} : { demand: recorded.demand }),
  });
  return report(city, options.json, recorded?.invalid);
}

type OpenedDemand =
  | { kind: 'opened'; demand: DemandModel; invalid: number }
  | { kind: 'unusable'; message: string };

async function openDemand(path: string, trips: number): Promise<OpenedDemand> {
  const file = Bun.file(path);
  if (!(await file.exists())) return { kind: 'unusable', message: `--demand: file not found: ${path}` };
  const parsed = parseDemand(await file.text());
  if (parsed.kind === 'unusable') return { kind: 'unusable', message: `--demand ${path}: ${parsed.message}` };
  const invalidRowsText = describeInvalidRows(parsed.invalid, parsed.rows.length);
  if (invalidRowsText !== null) printError(`${path}: ${invalidRowsText}`);
  return { kind: 'opened', demand: createRecordedDemand(parsed.rows, trips), invalid: parsed.invalid.length };
}

async function report(city: City, json: boolean, rowsWrong: number | undefined): Promise<number> {
  const exiting = new AbortController();
  const finished = new AbortController();
  const interruption = handleInterrupts({
    notice: 'no new rides, active rides may end (press Ctrl-C again to exit at once)',
    onSecondSignal: () => exiting.abort(),
  });
  interruption.signal.addEventListener('abort', () => city.stop());
  const terminate = () => exiting.abort();
  process.on('SIGTERM', terminate);
  const { progress } = city;
  const write = (text: string) => void process.stderr.write(text);
  const isTerminal = process.stderr.isTTY === true;
  const progressDone = showProgress({ progress, clock: systemClock, write, isTerminal }, finished.signal);
  try {
    const summaryOfRun = await city.run(exiting.signal).finally(() => finished.abort());
    await progressDone;
    const summary = rowsWrong === undefined ? summaryOfRun : { ...summaryOfRun, rowsWrong };
    if (json) printError(describeSummary(summary));
    process.stdout.write(`${json ? JSON.stringify(summary) : describeSummary(summary)}\n`);
    return exitCodeOf(summary);
  } catch (error) {
    if (!(error instanceof CityError)) throw error;
    printError(error.message);
    return 2;
  } finally {
    interruption.restore();
    process.off('SIGTERM', terminate);
  }
}
