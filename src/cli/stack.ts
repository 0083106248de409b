import { join } from 'node:path';
import { handleInterrupts } from '../tools/command/interruption.ts';
import { parseOptions, runCommand } from '../tools/command/options.ts';
import { secretsPath, startFleet } from '../tools/fleet.ts';
import { chooseEdgePort, recordEdge, waitForAbort, welcomeText } from '../tools/local-edge.ts';
import { startServers } from '../tools/servers/index.ts';

const help = `bun run stack: the fleet on this machine, until Ctrl-C

Starts PostgreSQL (primary and streaming replica), Redis (geo and cache) and RabbitMQ on private
ports of 127.0.0.1, then the six services as processes, each started again when it ends. Data, logs
and secrets are kept in .uitgo/stack and found again by the next start.

A server that you run yourself is taken from DATABASE_URL (and DATABASE_REPLICA_URL), GEO_REDIS_URL,
CACHE_REDIS_URL, AMQP_URL. Otherwise: a Docker engine, programs on PATH, or apt where it may.

  PORT          the edge's port (default: 8080, or the next free one)
  --ephemeral   forget all data at the end; quicker
  --json        say ready as one JSON line: {url, pids}
  --help        this text`;

export const run = (args: string[]): Promise<number> =>
  runCommand(
    'stack',
    help,
    parseOptions(args, { ephemeral: { type: 'boolean', default: false } }, ({ values }) => values),
    stand,
  );

async function stand({ ephemeral, json }: { ephemeral: boolean; json: boolean }): Promise<number> {
  const report = (line: string) => console.error(line);
  const dir = join(process.cwd(), '.uitgo', 'stack');
  const { DATABASE_URL, DATABASE_REPLICA_URL, GEO_REDIS_URL, CACHE_REDIS_URL, AMQP_URL } = process.env;
  const interruption = handleInterrupts();
  const servers = await startServers({
    dir: join(dir, ephemeral ? `servers-${process.pid}` : 'servers'),
    postgres: { replica: true },
    redis: true,
    rabbitmq: true,
    ephemeral,
    signal: interruption.signal,
    externalUrls: {
      postgres: DATABASE_URL,
      postgresReplica: DATABASE_REPLICA_URL,
      geoRedis: GEO_REDIS_URL,
      cacheRedis: CACHE_REDIS_URL,
      amqp: AMQP_URL,
    },
    report,
  });
  try {
    const fleet = await startFleet({
      dir,
      databaseUrl: servers.postgres?.url ?? '',
      databaseReplicaUrl: servers.postgresReplica?.url,
      geoRedisUrl: servers.geoRedis?.url ?? '',
      cacheRedisUrl: servers.cacheRedis?.url ?? '',
      amqpUrl: servers.rabbitmq?.url ?? '',
      port: await chooseEdgePort(report),
      env: {},
      report,
    });
    const forget = recordEdge(fleet.url, secretsPath(dir));
    const pids = Object.fromEntries(
      Object.values(fleet.services).map((service) => [service.name, service.pid()]),
    );
    if (json) console.log(JSON.stringify({ url: fleet.url, pids }));
    else
      console.log(
        welcomeText(
          fleet.url,
          'the fleet runs; Ctrl-C stops it',
          'bun run city --drivers 200 --trips 300 --seed 7',
          secretsPath(dir),
        ),
      );
    await waitForAbort(interruption.signal);
    forget();
    await fleet.stop();
  } finally {
    interruption.restore();
    await servers.stop();
  }
  return 0;
}
