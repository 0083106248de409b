import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  findEngines,
  type RunningServer,
  rabbitmqProgram,
  redisProgram,
  removeOrphanedFolders,
  startPostgres,
  startRabbitmq,
  startRedis,
} from '../tools/servers/index.ts';

/**
 * Servers for one test only, which the test may freeze (`kill('SIGSTOP')`), kill, and restart on the same
 * port. Each test calls `stop()` on the servers it started, which removes all their data.
 */

const folderPrefix = 'uitgo-private-';
const report = () => undefined;

/** Starts a temporary Redis in about 0.1 s. The nodes of a cluster, or a primary and its replica, share a password. */
export const startPrivateRedis = async (
  role: 'geo' | 'cache' = 'geo',
  { password, clusterPort }: { readonly password?: string; readonly clusterPort?: number } = {},
): Promise<RunningServer> => {
  const engine = (await findEngines([redisProgram], report)).get(redisProgram);
  if (engine === undefined) throw new Error('no Redis to start');
  const dir = createFolder();
  // The server reads its password from this file and would otherwise generate one.
  if (password !== undefined) writeFileSync(join(dir, 'password'), password, { mode: 0o600 });
  const cluster = clusterPort === undefined ? {} : { clusterPort };
  return startRedis({ dir, role, engine, ephemeral: true, report, ...cluster });
};

export type PrivatePostgres = {
  readonly primary: RunningServer;
  /** Present if `replica` was set. */
  readonly replica: RunningServer | undefined;
  stop(): Promise<void>;
};

/** Starts a temporary PostgreSQL, optionally with a streaming replica, in 1 to 2 s. */
export const startPrivatePostgres = async (
  options: { readonly replica?: boolean } = {},
): Promise<PrivatePostgres> => {
  const replica = options.replica ?? false;
  const servers = await startPostgres({ dir: createFolder(), replica, ephemeral: true, report });
  return {
    ...servers,
    async stop() {
      await servers.replica?.stop();
      await servers.primary.stop();
    },
  };
};

/** Starts a temporary RabbitMQ in about 5 s. Queues survive its `restart()`. */
export const startPrivateRabbitmq = async (): Promise<RunningServer> => {
  const engine = (await findEngines([rabbitmqProgram], report)).get(rabbitmqProgram);
  if (engine === undefined) throw new Error('no RabbitMQ to start');
  return startRabbitmq({ dir: createFolder(), engine, ephemeral: true, report });
};

const createFolder = (): string => {
  removeOrphanedFolders(tmpdir(), folderPrefix);
  const dir = mkdtempSync(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  chmodSync(dir, 0o755);
  return dir;
};
