import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { type Account, canReach } from './account.ts';
import type { Report } from './types.ts';

const elsewhere = '/var/lib/uitgo';

/**
 * The folder itself when `account` can get to it, else one that stands for it under /var/lib/uitgo.
 * A server that must not be root cannot keep its data in a clone under /root, whose mode is 0700.
 */
export const reachableFolder = (dir: string, account: Account | undefined, report: Report): string => {
  const wanted = resolve(dir);
  mkdirSync(wanted, { recursive: true });
  if (account === undefined || canReach(account, wanted)) return wanted;
  const digest = createHash('sha256').update(wanted).digest('hex').slice(0, 12);
  const stand = join(elsewhere, `${basename(wanted)}-${digest}`);
  report(`keeping the data in ${stand}: the account ${account.name} cannot reach ${wanted}`);
  mkdirSync(stand, { recursive: true, mode: 0o755 });
  return stand;
};
