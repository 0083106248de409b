import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { startAll } from '../apps/all.ts';
import { createCity } from '../tools/city/index.ts';
import { handleInterrupts } from '../tools/command/interruption.ts';
import { parseOptions, runCommand } from '../tools/command/options.ts';
import { loadLocalSecrets, localLimits, secretsPath } from '../tools/fleet.ts';
import { chooseEdgePort, recordEdge, waitForAbort, welcomeText } from '../tools/local-edge.ts';
import { startPostgres } from '../tools/servers/index.ts';

const help = `bun run dev: the whole system in one process, until Ctrl-C

Embedded adapters for the bus, Redis and the position index; a real PostgreSQL that comes with the
dependencies. A small city drives at once. All data is forgotten at the end.

  PORT          the edge's port (default: 8080, or the next free one)
  LOG_LEVEL     debug, info, warn (default), error
  --no-city     leave the city out
  --json        say ready as one JSON line: {url, pid}
  --help        this text`;

const smallCity = { drivers: 20, trips: Number.POSITIVE_INFINITY, ratePerSecond: 0.2, seed: 1 };
const cityReportEveryMs = 30_000;

export const run = (args: string[]): Promise<number> =>
  runCommand(
    'dev',
    help,
    parseOptions(args, { 'no-city': { type: 'boolean', default: false } }, ({ values }) => ({
      withCity: !values['no-city'],
      json: values.json,
    })),
    develop,
  );

async function develop({ withCity, json }: { withCity: boolean; json: boolean }): Promise<number> {
  const report = (line: string) => console.error(line);
  // One folder a run: a second dev works beside the first.
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
    const forget = recordEdge(system.url, secretsPath(dir));
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
    const city = withCity ? drive(system.url, ending.signal, report) : Promise.resolve();
    await waitForAbort(interruption.signal);
    forget();
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

/** Lets the small city drive until told to stop, with a line about it now and then. */
async function drive(url: string, signal: AbortSignal, report: (line: string) => void): Promise<void> {
  const city = createCity({ url, ...smallCity });
  const telling = setInterval(() => {
    const { tally, violations } = city.progress();
    const { requested, completed, captured } = tally;
    report(
      `city: ${requested} trips requested, ${completed} completed, ${captured} captured, ${violations} violations`,
    );
  }, cityReportEveryMs);
  try {
    await city.run(signal);
  } catch (error) {
    report(`city: ${error instanceof Error ? error.message : error}`);
  } finally {
    clearInterval(telling);
  }
}
