import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { loadLocalSecrets } from '../../src/tools/local/fleet.ts';
import { type SupervisedService, supervise } from '../../src/tools/local/supervisor.ts';
import type { Servers } from '../../src/tools/servers/index.ts';
import { findFreePort } from '../../src/tools/servers/ports.ts';
import { type BenchDriver, createDrivers } from './drivers.ts';

const root = join(import.meta.dir, '../..');

/** One process per core. */
export const processCount = cpus().length;

export interface ProcessGroup {
  /** URL of the shared port, or of the first process. */
  url: string;
  /** The URL of each process when each has its own port. */
  urls: readonly string[];
  pids(): number[];
  stop(): Promise<void>;
}

/** One port for all processes, or one for each, so that the bench can query each process. */
export type PortMode = 'shared' | 'own';

export interface SystemOptions {
  /** `shared` by default. */
  ports?: PortMode;
  /** Number of processes; one per core by default. */
  count?: number;
  /** Settings that override the defaults. */
  env?: Readonly<Record<string, string>>;
}

export interface System extends ProcessGroup {
  drivers: readonly BenchDriver[];
  /** The secret that opens the system's signing keys. */
  signingKeySecret: string;
  /** A directory for files of the bench; removed at the end. */
  dir: string;
}

/** Starts the whole system in all-in-one processes on real servers, with available drivers. */
export async function startSystem(
  name: string,
  servers: Servers,
  driverCount: number,
  reportProgress: (line: string) => void,
  { ports = 'shared', count = processCount, env = {} }: SystemOptions = {},
): Promise<System> {
  const dir = join(root, '.uitgo', 'bench', name);
  mkdirSync(dir, { recursive: true });
  const secrets = loadLocalSecrets(dir);
  const databaseUrl = servers.postgres?.url ?? '';
  reportProgress(`${count} all-in-one processes`);
  const processes = await startProcesses(
    { name: 'all', file: join(root, 'src/apps/all.ts'), dir, ports, count },
    {
      LOG_LEVEL: 'warn',
      DATABASE_URL: databaseUrl,
      DATABASE_POOL_MAX: '8',
      GEO_REDIS_URL: servers.geoRedis?.url ?? '',
      CACHE_REDIS_URL: servers.cacheRedis?.url ?? '',
      AMQP_URL: servers.rabbitmq?.url ?? '',
      ...secrets,
      ...env,
    },
    reportProgress,
  );
  try {
    reportProgress(`${driverCount} drivers`);
    const drivers = await createDrivers(databaseUrl, secrets.SIGNING_KEY_SECRET, driverCount);
    return {
      ...processes,
      drivers,
      signingKeySecret: secrets.SIGNING_KEY_SECRET,
      dir,
      async stop() {
        await processes.stop();
        rmSync(dir, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await processes.stop();
    throw error;
  }
}

/** Starts the processes of the baseline. */
export function startBareServers(
  dir: string,
  reportProgress: (line: string) => void,
  ports: PortMode = 'shared',
): Promise<ProcessGroup> {
  const file = join(import.meta.dir, 'bare.ts');
  return startProcesses({ name: 'bare', file, dir, ports, count: processCount }, {}, reportProgress);
}

interface Program {
  name: string;
  file: string;
  dir: string;
  ports: PortMode;
  count: number;
}

async function startProcesses(
  { name, file, dir, ports, count }: Program,
  env: Readonly<Record<string, string>>,
  reportProgress: (line: string) => void,
): Promise<ProcessGroup> {
  const sharedPort = await findFreePort();
  const started: SupervisedService[] = [];
  const stop = async () => {
    await Promise.all(started.map((service) => service.stop()));
  };
  try {
    // One after the other, because the first one migrates the schemas.
    for (let n = 1; n <= count; n++) {
      const port = ports === 'shared' ? sharedPort : await findFreePort();
      const own = { PATH: process.env.PATH ?? '', HOST: '127.0.0.1', PORT: String(port) };
      started.push(
        await supervise(
          {
            name: `${name}-${n}`,
            command: [process.execPath, file],
            cwd: root,
            env: { ...own, REUSE_PORT: ports === 'shared' ? 'yes' : 'no', ...env },
            logFile: join(dir, `${name}-${n}.log`),
            readyUrl: `http://127.0.0.1:${port}/readyz`,
          },
          reportProgress,
        ),
      );
      // Any process may have answered the readiness check; wait until this one listens too.
      while (ports === 'shared' && listeners(port) < n) await Bun.sleep(50);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  const urls = [...new Set(started.map((service) => service.url))];
  return { url: urls[0] ?? '', urls, pids: () => started.flatMap((service) => service.pid() ?? []), stop };
}

const listening = '0A';

/** Number of sockets that listen on the port. Linux only, like port sharing. */
function listeners(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n');
  return rows.filter((row) => {
    const [, local = '', , state] = row.trim().split(/\s+/);
    return local.endsWith(`:${hex}`) && state === listening;
  }).length;
}
