import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { canReach, type SystemAccount } from './account.ts';
import { isProcessAlive } from './process-tree.ts';
import type { ReportProgress } from './types.ts';

const elsewhere = '/var/lib/uitgo';
const ephemeralMark = 'of-process-';

type Wanted = { readonly dir: string; readonly ephemeral: boolean; readonly report: ReportProgress };

/**
 * The folder itself when `account` can get to it, else one that stands for it under /var/lib/uitgo.
 * A server that must not be root cannot keep its data in a clone under /root, whose mode is 0700.
 */
export const resolveDataFolder = (wanted: Wanted, account: SystemAccount | undefined): string => {
  const dir = resolve(wanted.dir);
  mkdirSync(dir, { recursive: true });
  if (account === undefined || canReach(account, dir)) return dir;
  removeOrphanedFolders(elsewhere, ephemeralMark);
  const digest = createHash('sha256').update(dir).digest('hex').slice(0, 12);
  const owner = wanted.ephemeral ? `${ephemeralMark}${process.pid}-` : '';
  const stand = join(elsewhere, `${owner}${basename(dir)}-${digest}`);
  wanted.report(`keeping the data in ${stand}: the account ${account.name} cannot reach ${dir}`);
  mkdirSync(stand, { recursive: true, mode: 0o755 });
  return stand;
};

/**
 * Removes the folders `<prefix><process id>…` in `parent` whose process has ended: what a run that
 * was killed could not remove itself.
 */
export const removeOrphanedFolders = (parent: string, prefix: string): void => {
  if (!existsSync(parent)) return;
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(prefix)) continue;
    const owner = Number.parseInt(name.slice(prefix.length), 10);
    if (Number.isNaN(owner) || isProcessAlive(owner)) continue;
    rmSync(join(parent, name), { recursive: true, force: true });
  }
};
