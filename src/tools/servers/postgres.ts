import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { findUnprivilegedAccount, type SystemAccount } from './account.ts';
import { awaitUnclaimed } from './claim.ts';
import { resolveDataFolder } from './folder.ts';
import { startManagedServer } from './managed.ts';
import { withPort } from './ports.ts';
import { findPostgresBinaries, type PostgresBinaries } from './postgres-binaries.ts';
import { type PostgresSettings, renderPostgresConfig } from './postgres-config.ts';
import type { ProcessSpec } from './process.ts';
import { loadOrCreatePassword } from './secret.ts';
import { type ReportProgress, type RunningServer, ServerError } from './types.ts';

const superuser = 'uitgo';
const stopTimeoutMs = 10_000;
/** Long enough to replay the WAL after a hard kill of a development database. */
const readyTimeoutMs = 60_000;

export type PostgresOptions = {
  /** Folder for `primary/`, `replica/`, the password and the logs; created if missing, otherwise reused. */
  readonly dir: string;
  /** A streaming replica beside the primary. */
  readonly replica: boolean;
  /** No durability: no fsync, and `stop()` removes the data. */
  readonly ephemeral: boolean;
  /** Fixed ports; free ones are used if unset. */
  readonly port?: number;
  readonly replicaPort?: number;
  /** How long to wait until no other process uses the folder. */
  readonly claimTimeoutMs?: number;
  /** When aborted, starting rejects with `server.interrupted` and leaves nothing running. */
  readonly signal?: AbortSignal | undefined;
  readonly report: ReportProgress;
};

export type PostgresServers = {
  readonly primary: RunningServer;
  readonly replica: RunningServer | undefined;
};

type PostgresHome = {
  readonly dir: string;
  readonly account: SystemAccount | undefined;
  readonly binaries: PostgresBinaries;
  readonly password: string;
  readonly options: PostgresOptions;
};

/**
 * Starts PostgreSQL on 127.0.0.1 and, if requested, a hot standby that streams from it.
 * @throws ServerError
 */
export const startPostgres = async (options: PostgresOptions): Promise<PostgresServers> => {
  const account = await findUnprivilegedAccount(options.report);
  const binaries = findPostgresBinaries(account, options.report);
  const dir = resolveDataFolder(options, account);
  const home: PostgresHome = { dir, account, binaries, password: loadOrCreatePassword(dir), options };

  await awaitUnclaimed('PostgreSQL', join(dir, 'primary'), options.claimTimeoutMs);
  await awaitUnclaimed('PostgreSQL (replica)', join(dir, 'replica'), options.claimTimeoutMs);
  if (!existsSync(dataFolder(home, 'primary'))) await initialise(home);
  if (options.replica) await copyPrimary(home);

  const primary = await withPort(options.port, (port) => startNode(home, 'primary', port, undefined));
  if (!options.replica) return { primary, replica: undefined };
  try {
    const replica = await withPort(options.replicaPort, (port) =>
      startNode(home, 'replica', port, Number(new URL(primary.url).port)),
    );
    return { primary, replica };
  } catch (error) {
    await primary.stop();
    throw error;
  }
};

type Role = 'primary' | 'replica';

const dataFolder = (home: PostgresHome, role: Role) => join(home.dir, role, 'data');

/** Initialises into a temporary folder and renames it, so that an interrupted initdb leaves no partial database. */
const initialise = async (home: PostgresHome): Promise<void> => {
  home.options.report('PostgreSQL: creating a new database cluster');
  const data = dataFolder(home, 'primary');
  const partial = `${data}.partial`;
  rmSync(partial, { recursive: true, force: true });
  createOwnedFolder(join(home.dir, 'primary'), home.account);
  const passwordFile = join(home.dir, 'primary', 'initial-password');
  writeFileSync(passwordFile, home.password, { mode: 0o600 });
  changeOwner(passwordFile, home.account);
  try {
    await run(home, [
      home.binaries.initdb,
      `--pgdata=${partial}`,
      `--username=${superuser}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // The same collation and case rules on every machine, independent of its locales.
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--locale=C',
      '--no-instructions',
      ...(home.options.ephemeral ? ['--no-sync', '--no-data-checksums'] : []),
    ]);
  } finally {
    rmSync(passwordFile, { force: true });
  }
  renameSync(partial, data);
};

/**
 * Copies the replica from the stopped primary at every start. pg_basebackup is not part of the package, and a fresh
 * copy can not be behind the primary's WAL or belong to another cluster. A crashed primary is fine as well: both
 * replay the same WAL to the same end.
 */
const copyPrimary = async (home: PostgresHome): Promise<void> => {
  const data = dataFolder(home, 'replica');
  rmSync(data, { recursive: true, force: true });
  createOwnedFolder(join(home.dir, 'replica'), home.account);
  await run(home, ['cp', '-Rp', dataFolder(home, 'primary'), data]);
  rmSync(join(data, 'postmaster.pid'), { force: true });
  writeOwned(home, join(data, 'standby.signal'), '');
};

const run = async (home: PostgresHome, command: string[]): Promise<void> => {
  const child = Bun.spawn(command, {
    cwd: '/',
    env: { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    detached: true,
    ...(home.account === undefined ? {} : { uid: home.account.uid, gid: home.account.gid }),
  });
  const [output, errors, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode === 0) return;
  throw new ServerError(
    'server.exited',
    `PostgreSQL: ${command[0]} failed (exit code ${exitCode}):\n${output}${errors}`,
  );
};

const startNode = (
  home: PostgresHome,
  role: Role,
  port: number,
  primaryPort: number | undefined,
): Promise<RunningServer> => {
  const folder = join(home.dir, role);
  const data = dataFolder(home, role);
  const settings: PostgresSettings = {
    port,
    ephemeral: home.options.ephemeral,
    primary:
      primaryPort === undefined
        ? undefined
        : { port: primaryPort, user: superuser, passwordFile: join(folder, 'pgpass') },
  };
  configure(home, data, settings);
  writeOwned(home, join(folder, 'pgpass'), `127.0.0.1:*:*:${superuser}:${home.password}\n`);
  const spec: ProcessSpec = {
    name: role === 'primary' ? 'PostgreSQL' : 'PostgreSQL (replica)',
    command: [home.binaries.postgres, '-D', data],
    cwd: '/',
    env: { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    logFile: join(home.dir, `${role}.log`),
    account: home.account,
    // Fast shutdown: rolls back open transactions and writes a checkpoint.
    stopSignal: 'SIGINT',
    stopTimeoutMs,
    signal: home.options.signal,
  };
  return startManagedServer({
    kind: role === 'primary' ? 'postgres' : 'postgres-replica',
    origin: 'embedded',
    url: `postgres://${superuser}:${home.password}@127.0.0.1:${port}/postgres`,
    dir: folder,
    spec,
    readyTimeoutMs,
    isReady: async (started) => isReadyByPidFile(join(data, 'postmaster.pid'), started.pid),
    afterStop: async () => {
      if (home.options.ephemeral) removeRole(home, role);
    },
  });
};

/** Keeps initdb's own file, which has values that suit this machine, such as the kind of shared memory. */
const configure = (home: PostgresHome, data: string, settings: PostgresSettings): void => {
  writeOwned(home, join(data, 'uitgo.conf'), renderPostgresConfig(settings));
  const file = join(data, 'postgresql.conf');
  const text = readFileSync(file, 'utf8');
  const include = "include = 'uitgo.conf'";
  if (!text.includes(include)) writeOwned(home, file, `${text}\n${include}\n`);
};

/** Removes the data of a role; the last of the two also removes the shared files. */
const removeRole = (home: PostgresHome, role: Role): void => {
  rmSync(join(home.dir, role), { recursive: true, force: true });
  const other = role === 'primary' ? 'replica' : 'primary';
  if (!existsSync(join(home.dir, other))) rmSync(home.dir, { recursive: true, force: true });
};

/** Checks readiness like pg_ctl: line 8 of the pid file contains the server's state. */
const isReadyByPidFile = (file: string, pid: number): boolean => {
  if (!existsSync(file)) return false;
  const lines = readFileSync(file, 'utf8').split('\n');
  return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
};

const changeOwner = (path: string, account: SystemAccount | undefined): void => {
  if (account !== undefined) chownSync(path, account.uid, account.gid);
};

const createOwnedFolder = (path: string, account: SystemAccount | undefined): void => {
  mkdirSync(path, { recursive: true });
  chmodSync(path, 0o700);
  changeOwner(path, account);
};

const writeOwned = (home: PostgresHome, file: string, text: string): void => {
  writeFileSync(file, text, { mode: 0o600 });
  changeOwner(file, home.account);
};
