import { parseOptions, runCommand } from '../tools/command/options.ts';
import { runDev } from '../tools/local/dev.ts';

const help = `bun run dev: run the whole system in one process, until Ctrl-C

Uses embedded adapters for the bus, Redis and the position index, and a real PostgreSQL from the
dependencies. A small simulated city starts as well. All data is deleted at the end.

  PORT          the port of the edge (default: 8080, or the next free one)
  LOG_LEVEL     debug, info, warn (default), error
  --no-city     do not start the simulated city
  --json        print one JSON line when ready: {url, pid}
  --help        show this help`;

/** `bun run dev`. Resolves to the exit code. */
export const run = (args: string[]): Promise<number> =>
  runCommand(
    'dev',
    help,
    parseOptions(args, { 'no-city': { type: 'boolean', default: false } }, ({ values }) => ({
      withCity: !values['no-city'],
      json: values.json,
    })),
    runDev,
  );
