import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { processStartedAt } from './process-tree.ts';
import { ServerError } from './types.ts';

/** A server whose starter was killed is being ended by the kernel's signal: time for that. */
const orphanTimeoutMsDefault = 10_000;
const pollMs = 50;

const claimFile = (dir: string) => join(dir, 'running');

/** Notes which process uses the folder, so that a later start can tell whether it still does. */
export const claimFolder = (dir: string, pid: number): void => {
  writeFileSync(claimFile(dir), `${pid} ${processStartedAt(pid) ?? ''}\n`);
};

/**
 * Resolves once no server uses the folder.
 * @throws ServerError `server.in_use` with the process that does
 */
export const awaitUnclaimed = async (
  name: string,
  dir: string,
  timeoutMs = orphanTimeoutMsDefault,
): Promise<void> => {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const pid = claimant(dir);
    if (pid === undefined) return;
    if (performance.now() > deadline) {
      throw new ServerError(
        'server.in_use',
        `${name}: the data in ${dir} is in use by process ${pid}. ` +
          `Stop the run it belongs to (or end it: kill ${pid}), or use another folder.`,
      );
    }
    await Bun.sleep(pollMs);
  }
};

const claimant = (dir: string): number | undefined => {
  const file = claimFile(dir);
  if (!existsSync(file)) return undefined;
  const [pid, ...startedAt] = readFileSync(file, 'utf8').trim().split(' ');
  const now = processStartedAt(Number(pid));
  return now !== undefined && now === startedAt.join(' ') ? Number(pid) : undefined;
};
