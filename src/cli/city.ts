import { systemClock } from '@platform/clock.ts';
import type { DemandModel } from '../tools/city/demand.ts';
import { createRecordedDemand, parseDemand } from '../tools/city/demand-csv.ts';
import { findEdgeUrl, waitUntilReady } from '../tools/city/find-server.ts';
import { type City, CityError, createCity } from '../tools/city/index.ts';
import { type CityArguments, parseArguments, usage } from '../tools/city/options.ts';
import { showProgress } from '../tools/city/progress.ts';
import { describeInvalidRows, describeSummary, exitCodeOf } from '../tools/city/summary.ts';
import { handleInterrupts } from '../tools/command/interruption.ts';
import { runCommand } from '../tools/command/options.ts';

const readyPatienceMs = 10_000;
const say = (text: string) => void process.stderr.write(`${text}\n`);

/** `bun run city`. Resolves to the exit code: 0 well, 1 broken promises or unprovoked errors, 2 usage or no server. */
export const run = (args: string[]): Promise<number> =>
  runCommand('city', usage, parseArguments(args), drive);

async function drive(asked: CityArguments): Promise<number> {
  const recorded =
    asked.demandFile === undefined ? undefined : await openDemand(asked.demandFile, asked.trips);
  if (recorded?.kind === 'unusable') {
    say(recorded.message);
    return 2;
  }
  const url = asked.url ?? (await findEdgeUrl(process.cwd()));
  const problem = await waitUntilReady(url, systemClock, readyPatienceMs);
  if (problem !== undefined) {
    say(problem);
    return 2;
  }
  const { drivers, trips, seed, ratePerSecond } = asked;
  const { timeScale, declineRate, darkRate, cancelRate, declinedCardRate } = asked;
  say(`${drivers} drivers and ${Number.isFinite(trips) ? trips : 'endless'} trips at ${url}, seed ${seed}`);
  const city = createCity({
    ...{ url, drivers, trips, seed, timeScale, declineRate, darkRate, cancelRate, declinedCardRate },
    ...(ratePerSecond === undefined ? {} : { ratePerSecond }),
    ...(recorded === undefined ? {} : { demand: recorded.demand }),
  });
  return report(city, asked.json, recorded?.wrong);
}

type OpenedDemand =
  | { kind: 'opened'; demand: DemandModel; wrong: number }
  | { kind: 'unusable'; message: string };

async function openDemand(path: string, trips: number): Promise<OpenedDemand> {
  const file = Bun.file(path);
  if (!(await file.exists())) return { kind: 'unusable', message: `--demand: there is no file ${path}` };
  const read = parseDemand(await file.text());
  if (read.kind === 'unusable') return { kind: 'unusable', message: `--demand ${path}: ${read.message}` };
  const complaint = describeInvalidRows(read.wrong, read.rows.length);
  if (complaint !== null) say(`${path}: ${complaint}`);
  return { kind: 'opened', demand: createRecordedDemand(read.rows, trips), wrong: read.wrong.length };
}

async function report(city: City, json: boolean, rowsWrong: number | undefined): Promise<number> {
  const leaving = new AbortController();
  const over = new AbortController();
  const interruption = handleInterrupts({
    notice: 'no new rides; those under way may end (Ctrl-C again leaves at once)',
    onSecondSignal: () => leaving.abort(),
  });
  interruption.signal.addEventListener('abort', () => city.stop());
  const terminate = () => leaving.abort();
  process.on('SIGTERM', terminate);
  const { progress } = city;
  const write = (text: string) => void process.stderr.write(text);
  const isTerminal = process.stderr.isTTY === true;
  const telling = showProgress({ progress, clock: systemClock, write, isTerminal }, over.signal);
  try {
    const lived = await city.run(leaving.signal).finally(() => over.abort());
    await telling;
    const summary = rowsWrong === undefined ? lived : { ...lived, rowsWrong };
    if (json) say(describeSummary(summary));
    process.stdout.write(`${json ? JSON.stringify(summary) : describeSummary(summary)}\n`);
    return exitCodeOf(summary);
  } catch (error) {
    if (!(error instanceof CityError)) throw error;
    say(error.message);
    return 2;
  } finally {
    interruption.restore();
    process.off('SIGTERM', terminate);
  }
}
