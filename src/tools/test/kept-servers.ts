import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { processStartedAt, sendSignal } from '../servers/process-tree.ts';
import { ServerError } from '../servers/types.ts';
import { missingNeeds, needsAny, type ServerNeeds, type TestServerUrls } from './environment.ts';

/*
 * Servers that outlive a test run belong to a keeper, a process in the background:
 *
 *   (none) ── run with --keep ──▶ kept ── run with --stop, or 30 minutes without a run ──▶ (none)
 *
 * The keeper writes the URLs to a file of the checkout. Every run reads the file, uses the servers in it, and touches it.
 * A run with --keep that needs a server which the keeper lacks replaces the keeper by one with both.
 */

const StateFile = Type.Object({
  pid: Type.Integer(),
  /** Together with the process id it identifies the keeper: process ids are reused. */
  startedAt: Type.String(),
  urls: Type.Partial(
    Type.Object({
      postgres: Type.String(),
      postgresReplica: Type.String(),
      geoRedis: Type.String(),
      cacheRedis: Type.String(),
      amqp: Type.String(),
    }),
  ),
});
export type KeeperState = Static<typeof StateFile>;

const startTimeoutMs = 180_000;
const stopTimeoutMs = 60_000;
const pollMs = 50;

export const keeperFile = (cwd: string): string => join(cwd, '.uitgo', 'test-servers.json');
const keeperLog = (cwd: string): string => join(cwd, '.uitgo', 'test-servers.log');

/** The running keeper of this checkout; undefined if there is none. */
export function readKeeper(cwd: string): KeeperState | undefined {
  try {
    const state: unknown = JSON.parse(readFileSync(keeperFile(cwd), 'utf8'));
    if (!Value.Check(StateFile, state)) return undefined;
    return processStartedAt(state.pid) === state.startedAt ? state : undefined;
  } catch {
    return undefined;
  }
}

/** The URLs of the kept servers, which count as used now. */
export function useKeptServers(cwd: string): TestServerUrls {
  const keeper = readKeeper(cwd);
  if (keeper === undefined) return {};
  const now = new Date(Date.now());
  utimesSync(keeperFile(cwd), now, now);
  return keeper.urls;
}

/**
 * Makes sure that a keeper runs with at least these servers.
 * @throws ServerError `server.not_ready` with the end of the keeper's log
 */
export async function keepServers(
  needs: ServerNeeds,
  cwd: string,
  signal: AbortSignal,
): Promise<TestServerUrls> {
  const urls = readKeeper(cwd)?.urls ?? {};
  if (!needsAny(missingNeeds(needs, urls))) return useKeptServers(cwd);
  await stopKeeper(cwd);
  const all: ServerNeeds = {
    postgres: needs.postgres || urls.postgres !== undefined,
    redis: needs.redis || urls.geoRedis !== undefined,
    rabbitmq: needs.rabbitmq || urls.amqp !== undefined,
  };
  return startKeeper(all, cwd, signal);
}

async function startKeeper(needs: ServerNeeds, cwd: string, signal: AbortSignal): Promise<TestServerUrls> {
  mkdirSync(join(cwd, '.uitgo'), { recursive: true });
  const log = Bun.file(keeperLog(cwd));
  // Set for the children of `bun test --no-orphans`; the keeper must outlive its parent.
  const { BUN_FEATURE_FLAG_NO_ORPHANS: _, ...env } = process.env;
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'keeper.ts'), JSON.stringify(needs)], {
    cwd,
    env,
    stdin: 'ignore',
    stdout: log,
    stderr: log,
    // Not in the terminal's process group: Ctrl-C ends a test run and not the servers.
    detached: true,
  });
  chmodSync(keeperLog(cwd), 0o600);
  child.unref();
  const deadline = performance.now() + startTimeoutMs;
  while (child.exitCode === null && performance.now() < deadline && !signal.aborted) {
    const keeper = readKeeper(cwd);
    if (keeper?.pid === child.pid) return keeper.urls;
    await Bun.sleep(pollMs);
  }
  child.kill('SIGTERM');
  await child.exited;
  if (signal.aborted)
    throw new ServerError('server.interrupted', 'interrupted while starting the test servers');
  throw new ServerError('server.not_ready', `the test servers did not start:\n${await log.text()}`);
}

/** Stops the keeper and its servers; false if none runs. */
export async function stopKeeper(cwd: string): Promise<boolean> {
  const keeper = readKeeper(cwd);
  if (keeper === undefined) {
    if (existsSync(keeperFile(cwd))) rmSync(keeperFile(cwd), { force: true });
    return false;
  }
  sendSignal(keeper.pid, 'SIGTERM');
  const deadline = performance.now() + stopTimeoutMs;
  while (readKeeper(cwd)?.pid === keeper.pid) {
    if (performance.now() > deadline) {
      sendSignal(keeper.pid, 'SIGKILL');
      break;
    }
    await Bun.sleep(pollMs);
  }
  return true;
}
