import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { processStartedAt } from './process-tree.ts';
import { ServerError } from './types.ts';

/** How long to wait for a server whose parent was killed: the kernel signals it to stop. */
const orphanTimeoutMsDefault = 10_000;
const pollMs = 50;

const claimFile = (dir: string) => join(dir, 'running');

/** Records which process uses the folder, so that a later start can check whether it is still in use. */
export const claimFolder = (dir: string, pid: number): void => {
  writeFileSync(claimFile(dir), `${pid} ${processStartedAt(pid) ?? ''}\n`);
};

/**
 * Resolves once no running server uses the folder.
 * @throws ServerError `server.in_use` with the process that does
 */
export const awaitUnclaimed = async (
  name: string,
  dir: string,
  timeoutMs = orphanTimeoutMsDefault,
): Promise<void> => {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const pid = findClaimant(dir);
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

const findClaimant = (dir: string): number | undefined => {
  const file = claimFile(dir);
  if (!existsSync(file)) return undefined;
  const [pid, ...startedAt] = readFileSync(file, 'utf8').trim().split(' ');
  const now = processStartedAt(Number(pid));
  return now !== undefined && now === startedAt.join(' ') ? Number(pid) : undefined;
};
