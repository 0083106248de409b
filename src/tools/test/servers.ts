import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ReportProgress, removeOrphanedFolders, startServers } from '../servers/index.ts';
import type { ServerNeeds, TestServerUrls } from './environment.ts';

const folderPrefix = 'uitgo-test-';

export interface TestServersOptions {
  needs: ServerNeeds;
  /** Servers that run already and are used instead of starting one. */
  externalUrls: TestServerUrls;
  signal: AbortSignal;
  report: ReportProgress;
}

export interface TestServers {
  urls: TestServerUrls;
  /** Stops what was started here and removes its data. */
  stop(): Promise<void>;
}

/**
 * Starts the needed servers that are not external.
 * @throws ServerError
 */
export async function startTestServers(options: TestServersOptions): Promise<TestServers> {
  const { needs, externalUrls, signal, report } = options;
  removeOrphanedFolders(tmpdir(), folderPrefix);
  const dir = mkdtempSync(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  // PostgreSQL may run as another account (see account.ts), which needs access to its data in this folder.
  chmodSync(dir, 0o755);
  const removeFolder = () => rmSync(dir, { recursive: true, force: true });
  try {
    const servers = await startServers({
      dir,
      ...(needs.postgres ? { postgres: { replica: true } } : {}),
      redis: needs.redis,
      rabbitmq: needs.rabbitmq,
      ephemeral: true,
      externalUrls,
      signal,
      report,
    });
    return {
      urls: {
        ...externalUrls,
        ...(needs.postgres && {
          postgres: servers.postgres?.url,
          postgresReplica: servers.postgresReplica?.url,
        }),
        ...(needs.redis && { geoRedis: servers.geoRedis?.url, cacheRedis: servers.cacheRedis?.url }),
        ...(needs.rabbitmq && { amqp: servers.rabbitmq?.url }),
      },
      async stop() {
        await servers.stop();
        removeFolder();
      },
    };
  } catch (error) {
    removeFolder();
    throw error;
  }
}
