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
/** Long enough to replay what a hard kill left in a development database. */
const readyTimeoutMs = 60_000;

export type PostgresOptions = {
  /** Holds `primary/`, `replica/`, the password and the logs; made when missing, reused when not. */
  readonly dir: string;
  /** A streaming replica beside the primary. */
  readonly replica: boolean;
  /** Nothing survives: no fsync, and `stop()` removes the data. */
  readonly ephemeral: boolean;
  /** Only these ports; without: free ones. */
  readonly port?: number;
  readonly replicaPort?: number;
  /** How long to wait for another user of the folder to end. */
  readonly claimTimeoutMs?: number;
  /** Aborted: gives up with `server.interrupted`, and nothing is left running. */
  readonly signal?: AbortSignal | undefined;
  readonly report: ReportProgress;
};

export type PostgresServers = {
  readonly primary: RunningServer;
  readonly replica: RunningServer | undefined;
};

type Home = {
  readonly dir: string;
  readonly account: SystemAccount | undefined;
  readonly binaries: PostgresBinaries;
  readonly password: string;
  readonly options: PostgresOptions;
};

/**
 * Starts PostgreSQL on 127.0.0.1 and, when wanted, a hot standby that streams from it.
 * @throws ServerError
 */
export const startPostgres = async (options: PostgresOptions): Promise<PostgresServers> => {
  const account = await findUnprivilegedAccount(options.report);
  const binaries = findPostgresBinaries(account, options.report);
  const dir = resolveDataFolder(options, account);
  const home: Home = { dir, account, binaries, password: loadOrCreatePassword(dir), options };

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

const dataFolder = (home: Home, role: Role) => join(home.dir, role, 'data');

/** Whole or not at all: an initdb that was cut short leaves nothing that looks like a database. */
const initialise = async (home: Home): Promise<void> => {
  home.options.report('PostgreSQL: making a new database cluster');
  const data = dataFolder(home, 'primary');
  const partial = `${data}.partial`;
  rmSync(partial, { recursive: true, force: true });
  ownFolder(join(home.dir, 'primary'), home.account);
  const passwordFile = join(home.dir, 'primary', 'initial-password');
  writeFileSync(passwordFile, home.password, { mode: 0o600 });
  own(passwordFile, home.account);
  try {
    await run(home, [
      home.binaries.initdb,
      `--pgdata=${partial}`,
      `--username=${superuser}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // The same order and case rules on every machine, whatever locales it has.
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
 * The replica is copied from the stopped primary at every start. pg_basebackup is not among the
 * programs at hand, and a fresh copy can never have fallen behind the primary's WAL or come from
 * another cluster. A primary that crashed is fine too: both replay the same WAL to the same end.
 */
const copyPrimary = async (home: Home): Promise<void> => {
  const data = dataFolder(home, 'replica');
  rmSync(data, { recursive: true, force: true });
  ownFolder(join(home.dir, 'replica'), home.account);
  await run(home, ['cp', '-Rp', dataFolder(home, 'primary'), data]);
  rmSync(join(data, 'postmaster.pid'), { force: true });
  writeOwned(home, join(data, 'standby.signal'), '');
};

const run = async (home: Home, command: string[]): Promise<void> => {
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
  home: Home,
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
    // Fast shutdown: rolls open transactions back and writes a checkpoint.
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

/** initdb's own file stays: it holds what works on this machine, such as the kind of shared memory. */
const configure = (home: Home, data: string, settings: PostgresSettings): void => {
  writeOwned(home, join(data, 'uitgo.conf'), renderPostgresConfig(settings));
  const file = join(data, 'postgresql.conf');
  const text = readFileSync(file, 'utf8');
  const include = "include = 'uitgo.conf'";
  if (!text.includes(include)) writeOwned(home, file, `${text}\n${include}\n`);
};

/** The last of the two takes the common files along. */
const removeRole = (home: Home, role: Role): void => {
  rmSync(join(home.dir, role), { recursive: true, force: true });
  const other = role === 'primary' ? 'replica' : 'primary';
  if (!existsSync(join(home.dir, other))) rmSync(home.dir, { recursive: true, force: true });
};

/** What pg_ctl reads: the server's state stands in line 8 of its pid file. */
const isReadyByPidFile = (file: string, pid: number): boolean => {
  if (!existsSync(file)) return false;
  const lines = readFileSync(file, 'utf8').split('\n');
  return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
};

const own = (path: string, account: SystemAccount | undefined): void => {
  if (account !== undefined) chownSync(path, account.uid, account.gid);
};

const ownFolder = (path: string, account: SystemAccount | undefined): void => {
  mkdirSync(path, { recursive: true });
  chmodSync(path, 0o700);
  own(path, account);
};

const writeOwned = (home: Home, file: string, text: string): void => {
  writeFileSync(file, text, { mode: 0o600 });
  own(file, home.account);
};
