import { type ReportProgress, ServerError } from './types.ts';

/** An operating system account that a server runs as. */
export type SystemAccount = { readonly name: string; readonly uid: number; readonly gid: number };

const createdAccount = 'uitgo';

/**
 * PostgreSQL refuses to run as root. If this process is root, finds or creates an account without privileges;
 * otherwise returns undefined, and the server runs as the current user.
 */
export const findUnprivilegedAccount = async (report: ReportProgress): Promise<SystemAccount | undefined> => {
  if (process.getuid?.() !== 0) return undefined;
  const existing = lookUp('postgres') ?? lookUp(createdAccount);
  if (existing !== undefined) return existing;

  report(`creating the system account ${createdAccount}, because PostgreSQL refuses to run as root`);
  const useradd = ['useradd', '--system', '--no-create-home', '--shell', '/usr/sbin/nologin'];
  const adduser = ['adduser', '-S', '-D', '-H'];
  for (const command of [useradd, adduser]) {
    if (Bun.which(command[0] ?? '') === null) continue;
    Bun.spawnSync([...command, createdAccount], { stdout: 'ignore', stderr: 'ignore' });
    const created = lookUp(createdAccount);
    if (created !== undefined) return created;
  }
  const nobody = lookUp('nobody');
  if (nobody !== undefined) return nobody;
  throw new ServerError(
    'server.missing',
    'PostgreSQL refuses to run as root, and no other account could be found or created. ' +
      'Run the command as an ordinary user.',
  );
};

/** Whether the account may read (and enter) the path, including all parent folders. */
export const canReach = (account: SystemAccount, path: string): boolean =>
  Bun.spawnSync(['/bin/sh', '-c', 'test -r "$0" && { test ! -d "$0" || test -x "$0"; }', path], {
    uid: account.uid,
    gid: account.gid,
    cwd: '/',
  }).exitCode === 0;

const lookUp = (name: string): SystemAccount | undefined => {
  const id = (flag: string) => Bun.spawnSync(['id', flag, name], { stderr: 'ignore' });
  const user = id('-u');
  const group = id('-g');
  if (user.exitCode !== 0 || group.exitCode !== 0) return undefined;
  return { name, uid: Number(user.stdout.toString()), gid: Number(group.stdout.toString()) };
};
