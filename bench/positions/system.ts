import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { localSecrets } from '../../src/cli/fleet.ts';
import type { Servers } from '../../src/cli/servers/index.ts';
import { freePort } from '../../src/cli/servers/ports.ts';
import { type SupervisedService, supervise } from '../../src/cli/supervisor.ts';
import { type BenchDriver, makeDrivers } from './drivers.ts';

const root = join(import.meta.dir, '../..');

/** One process for each core. */
export const processCount = cpus().length;

export interface Processes {
  /** Of the shared port. */
  url: string;
  pids(): number[];
  stop(): Promise<void>;
}

export interface SystemOptions {
  /** Processes; one for each core unless told otherwise. */
  count?: number;
  /** Settings other than the defaults. */
  env?: Readonly<Record<string, string>>;
}

export interface System extends Processes {
  drivers: readonly BenchDriver[];
  /** Signs tokens that the system accepts. */
  signingKeySecret: string;
  /** Where the bench may leave files; removed at the end. */
  dir: string;
}

/** The whole system in all-in-one processes on real servers that share a port, with drivers at work. */
export async function startSystem(
  name: string,
  servers: Servers,
  driverCount: number,
  say: (line: string) => void,
  { count = processCount, env = {} }: SystemOptions = {},
): Promise<System> {
  const dir = join(root, '.uitgo', 'bench', name);
  mkdirSync(dir, { recursive: true });
  const secrets = localSecrets(dir);
  const databaseUrl = servers.postgres?.url ?? '';
  say(`${count} all-in-one processes on one port`);
  const processes = await startProcesses(
    'all',
    join(root, 'src/apps/all.ts'),
    dir,
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
    count,
    say,
  );
  try {
    say(`${driverCount} drivers`);
    const drivers = await makeDrivers(databaseUrl, secrets.SIGNING_KEY_SECRET, driverCount);
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

/** The processes of a baseline, on one port of their own. */
export function startBare(dir: string, say: (line: string) => void): Promise<Processes> {
  return startProcesses('bare', join(import.meta.dir, 'bare.ts'), dir, {}, processCount, say);
}

async function startProcesses(
  name: string,
  file: string,
  dir: string,
  env: Readonly<Record<string, string>>,
  count: number,
  say: (line: string) => void,
): Promise<Processes> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const started: SupervisedService[] = [];
  const stop = async () => {
    await Promise.all(started.map((one) => one.stop()));
  };
  try {
    // One after the other: the first brings the schemas up to date.
    for (let n = 1; n <= count; n++) {
      started.push(
        await supervise(
          {
            name: `${name}-${n}`,
            command: [process.execPath, file],
            cwd: root,
            env: {
              PATH: process.env.PATH ?? '',
              HOST: '127.0.0.1',
              PORT: String(port),
              REUSE_PORT: 'yes',
              ...env,
            },
            logFile: join(dir, `${name}-${n}.log`),
            readyUrl: `${url}/readyz`,
          },
          say,
        ),
      );
      // Any of them may have answered: it is ready when it listens too.
      while (listeners(port) < n) await Bun.sleep(50);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, pids: () => started.flatMap((one) => one.pid() ?? []), stop };
}

const listening = '0A';

/** Sockets that listen on the port; Linux only, as is sharing a port. */
function listeners(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n');
  return rows.filter((row) => {
    const [, local = '', , state] = row.trim().split(/\s+/);
    return local.endsWith(`:${hex}`) && state === listening;
  }).length;
}
