import { join } from 'node:path';
import { handleInterrupts } from '../command/interruption.ts';
import { startServers } from '../servers/index.ts';
import { startStackControl } from './control.ts';
import { chooseEdgePort, recordEdge, waitForAbort, welcomeText } from './edge.ts';
import { secretsPath, startFleet } from './fleet.ts';

export interface StackArguments {
  ephemeral: boolean;
  json: boolean;
}

/** Runs the fleet on real servers until it is interrupted. Resolves to the exit code. */
export async function runStack({ ephemeral, json }: StackArguments): Promise<number> {
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
    const removeRecord = recordEdge(fleet.url, secretsPath(dir));
    const control = startStackControl(fleet.services, dir);
    const pids = Object.fromEntries(
      Object.values(fleet.services).map((service) => [service.name, service.pid()]),
    );
    if (json) console.log(JSON.stringify({ url: fleet.url, pids }));
    else
      console.log(
        welcomeText(
          fleet.url,
          'six services on real servers; Ctrl-C stops them',
          'bun run city --drivers 200 --trips 300 --seed 7',
          secretsPath(dir),
        ),
      );
    await waitForAbort(interruption.signal);
    removeRecord();
    await control.stop();
    await fleet.stop();
  } finally {
    interruption.restore();
    await servers.stop();
  }
  return 0;
}
