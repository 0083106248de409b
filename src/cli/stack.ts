import { parseOptions, runCommand } from '../tools/command/options.ts';
import { runStack } from '../tools/local/stack.ts';

const help = `bun run stack: run the fleet on this machine, until Ctrl-C

Starts PostgreSQL (primary and streaming replica), Redis (geo and cache) and RabbitMQ on private
ports of 127.0.0.1, then the six services as separate processes, each of which is restarted when it
exits. Data, logs and secrets are stored in .uitgo/stack and used again by the next start.

External servers are used if DATABASE_URL (and DATABASE_REPLICA_URL), GEO_REDIS_URL, CACHE_REDIS_URL
or AMQP_URL are set. Otherwise Docker is used, or programs on PATH, or apt-get where it is allowed.

To debug one service, run "bun run service NAME" in another terminal.

  PORT          the port of the edge (default: 8080, or the next free one)
  --ephemeral   delete all data at the end; faster
  --json        print one JSON line when ready: {url, pids}
  --help        show this help`;

/** `bun run stack`. Resolves to the exit code. */
export const run = (args: string[]): Promise<number> =>
  runCommand(
    'stack',
    help,
    parseOptions(args, { ephemeral: { type: 'boolean', default: false } }, ({ values }) => values),
    runStack,
  );
