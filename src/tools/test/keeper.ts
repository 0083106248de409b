import { renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { processStartedAt } from '../servers/process-tree.ts';
import type { ServerNeeds } from './environment.ts';
import { type KeeperState, keeperFile, readKeeper } from './kept-servers.ts';
import { startTestServers } from './servers.ts';

/*
 * The keeper of test servers (see kept-servers.ts), run as a process in the background with the needs as its argument.
 * It stops on SIGTERM, after 30 minutes in which no test run used it, and when its file belongs to another keeper.
 */

const idleMsMax = 30 * 60_000;
const checkIntervalMs = 200;

async function keep(needs: ServerNeeds, cwd: string): Promise<void> {
  const stopping = new AbortController();
  process.on('SIGTERM', () => stopping.abort());
  process.on('SIGHUP', () => {});
  const { signal } = stopping;
  const servers = await startTestServers({ needs, externalUrls: {}, signal, report: console.error });
  const file = keeperFile(cwd);
  try {
    const state: KeeperState = {
      pid: process.pid,
      startedAt: processStartedAt(process.pid) ?? '',
      urls: Object.fromEntries(Object.entries(servers.urls).filter(([, url]) => url !== undefined)),
    };
    // Renamed into place, so that a run never reads half a file. Its URLs contain passwords.
    const partial = `${file}.${process.pid}`;
    writeFileSync(partial, JSON.stringify(state), { mode: 0o600 });
    renameSync(partial, file);
    while (!signal.aborted && isInUse(file, cwd)) await Bun.sleep(checkIntervalMs);
  } finally {
    await servers.stop();
    if (readKeeper(cwd)?.pid === process.pid) rmSync(file, { force: true });
  }
}

function isInUse(file: string, cwd: string): boolean {
  if (readKeeper(cwd)?.pid !== process.pid) return false;
  return Date.now() - statSync(file).mtimeMs < idleMsMax;
}

if (import.meta.main) {
  const needs: ServerNeeds = JSON.parse(process.argv[2] ?? '{}');
  keep(needs, process.cwd()).then(
    () => process.exit(0),
    (error: unknown) => {
      console.error(error instanceof Error ? error.message : error);
      process.exit(1);
    },
  );
}
