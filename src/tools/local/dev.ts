import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { startAll } from '../../apps/all.ts';
import { createCity } from '../city/index.ts';
import { handleInterrupts } from '../command/interruption.ts';
import { startPostgres } from '../servers/index.ts';
import { chooseEdgePort, recordEdge, waitForAbort, welcomeText } from './edge.ts';
import { loadLocalSecrets, localLimits, secretsPath } from './fleet.ts';

const smallCity = { drivers: 20, trips: Number.POSITIVE_INFINITY, ratePerSecond: 0.2, seed: 1 };
const cityReportIntervalMs = 30_000;

export interface DevArguments {
  withCity: boolean;
  json: boolean;
}

/** Runs the whole system in one process until it is interrupted. Resolves to the exit code. */
export async function runDev({ withCity, json }: DevArguments): Promise<number> {
  const report = (line: string) => console.error(line);
  // Each run has its own folder, so that several can run at once.
  const dir = join(process.cwd(), '.uitgo', `dev-${process.pid}`);
  const interruption = handleInterrupts();
  const port = await chooseEdgePort(report);
  const postgres = await startPostgres({
    dir: join(dir, 'postgres'),
    replica: false,
    ephemeral: true,
    report,
  });
  try {
    const system = await startAll({
      LOG_LEVEL: 'warn',
      ...localLimits,
      ...process.env,
      ...loadLocalSecrets(dir),
      ADAPTERS: 'embedded',
      HOST: '127.0.0.1',
      PORT: String(port),
      DATABASE_URL: postgres.primary.url,
      DATABASE_POOL_MAX: '32',
    });
    const removeRecord = recordEdge(system.url, secretsPath(dir));
    if (json) console.log(JSON.stringify({ url: system.url, pid: process.pid }));
    else
      console.log(
        welcomeText(
          system.url,
          'one process, embedded adapters; Ctrl-C stops it',
          'bun run city --drivers 50 --trips 50 --seed 7',
          secretsPath(dir),
        ),
      );

    const ending = new AbortController();
    const city = withCity ? runSmallCity(system.url, ending.signal, report) : Promise.resolve();
    await waitForAbort(interruption.signal);
    removeRecord();
    ending.abort();
    await city;
    await system.stop();
  } finally {
    interruption.restore();
    await postgres.primary.stop();
    rmSync(dir, { recursive: true, force: true });
  }
  return 0;
}

/** Runs a small city until `signal` aborts, and reports on it periodically. */
async function runSmallCity(url: string, signal: AbortSignal, report: (line: string) => void): Promise<void> {
  const city = createCity({ url, ...smallCity });
  const reporting = setInterval(() => {
    const { tally, violations } = city.progress();
    const { requested, completed, captured } = tally;
    report(
      `city: ${requested} trips requested, ${completed} completed, ${captured} captured, ${violations} violations`,
    );
  }, cityReportIntervalMs);
  try {
    await city.run(signal);
  } catch (error) {
    report(`city: ${error instanceof Error ? error.message : error}`);
  } finally {
    clearInterval(reporting);
  }
}
