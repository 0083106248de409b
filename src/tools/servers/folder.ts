import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { canReach, type SystemAccount } from './account.ts';
import { isProcessAlive } from './process-tree.ts';
import type { ReportProgress } from './types.ts';

const fallbackParent = '/var/lib/uitgo';
const ephemeralPrefix = 'of-process-';

type FolderRequest = { readonly dir: string; readonly ephemeral: boolean; readonly report: ReportProgress };

/**
 * Returns the folder itself if `account` can access it, otherwise a replacement under /var/lib/uitgo. A server that
 * does not run as root can not keep its data in a clone under /root, whose mode is 0700.
 */
export const resolveDataFolder = (request: FolderRequest, account: SystemAccount | undefined): string => {
  const dir = resolve(request.dir);
  mkdirSync(dir, { recursive: true });
  if (account === undefined || canReach(account, dir)) return dir;
  removeOrphanedFolders(fallbackParent, ephemeralPrefix);
  const digest = createHash('sha256').update(dir).digest('hex').slice(0, 12);
  const owner = request.ephemeral ? `${ephemeralPrefix}${process.pid}-` : '';
  const replacement = join(fallbackParent, `${owner}${basename(dir)}-${digest}`);
  request.report(
    `storing the data in ${replacement}, because the account ${account.name} can not access ${dir}`,
  );
  mkdirSync(replacement, { recursive: true, mode: 0o755 });
  return replacement;
};

/**
 * Removes the folders `<prefix><process id>…` in `parent` whose process has ended. A killed run leaves them behind.
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
