import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { sendSignal } from './process-tree.ts';
import { type ReportProgress, ServerError } from './types.ts';

export type AptPackage = 'redis-server' | 'rabbitmq-server' | 'redis-tools' | 'wrk' | 'haproxy';

const lockFile = '/run/uitgo-install.lock';
const lockTimeoutSeconds = 900;
const dpkgLockTimeoutSeconds = 300;
/** Longer than an installation takes on a slow network. */
const policyLifetimeSeconds = 1_800;
const policyFile = '/usr/sbin/policy-rc.d';
const policySaved = '/usr/sbin/policy-rc.d.saved-by-uitgo';
/** The exit code for "action forbidden by policy" in Debian package scripts (invoke-rc.d(8)). */
const forbidden = 101;
const installLogLinesKept = 15;

/** Whether this process may install Debian packages. */
export const canInstallPackages = (): boolean =>
  process.platform === 'linux' &&
  process.getuid?.() === 0 &&
  Bun.which('apt-get') !== null &&
  Bun.which('flock') !== null;

/**
 * Installs the packages, except those that another process installed while this one waited for the lock. The
 * services in the packages are not started.
 * @throws ServerError `server.missing` with the end of apt's output
 */
export const installPackages = async (
  packages: readonly AptPackage[],
  isPresent: (name: AptPackage) => boolean,
  report: ReportProgress,
): Promise<void> => {
  const unlock = await lock(report);
  try {
    const missing = packages.filter((name) => !isPresent(name));
    if (missing.length === 0) return;
    report(`installing ${missing.join(' and ')} with apt-get (once; their services are not started)`);
    const restorePolicy = forbidServiceStarts();
    const epmdPidsBefore = epmdProcesses();
    try {
      await apt(['update'], report);
      await apt(['install', '-y', '--no-install-recommends', ...missing], report);
    } finally {
      restorePolicy();
      stopNewNameServices(epmdPidsBefore);
    }
    report(`installed ${missing.join(' and ')}`);
  } finally {
    await unlock();
  }
};

/**
 * The kernel releases a flock when its holder dies, so this lock is never stale: the holder is a `cat` that exits as
 * soon as this process closes its end of the pipe.
 */
const lock = async (report: ReportProgress): Promise<() => Promise<void>> => {
  const waiting = setTimeout(() => report('waiting for another installation to finish'), 1_000);
  const holder = Bun.spawn(
    ['flock', '-w', String(lockTimeoutSeconds), lockFile, 'sh', '-c', 'echo locked; exec cat'],
    { stdin: 'pipe', stdout: 'pipe', stderr: 'inherit' },
  );
  const { value } = await holder.stdout.getReader().read();
  clearTimeout(waiting);
  if (value === undefined) {
    throw new ServerError(
      'server.missing',
      `${lockFile} could not be locked (another installation may hold it for ${lockTimeoutSeconds} s)`,
    );
  }
  return async () => {
    await holder.stdin.end();
    await holder.exited;
  };
};

/**
 * Installs a policy that keeps packages from starting their services, and returns a function that restores the
 * previous one. If this process is killed, apt-get continues and still needs the policy; after its lifetime the
 * policy delegates to the machine's own.
 */
const forbidServiceStarts = (): (() => void) => {
  restoreAfterCrash();
  if (isForbiddenAlready()) return () => undefined;
  const expiresAt = Math.round(Date.now() / 1000) + policyLifetimeSeconds;
  if (existsSync(policyFile)) renameSync(policyFile, policySaved);
  writeFileSync(
    policyFile,
    `#!/bin/sh
# Placed by UIT-Go while it installs packages; removed when it is done.
[ "$(date +%s)" -lt ${expiresAt} ] && exit ${forbidden}
[ -x ${policySaved} ] && exec ${policySaved} "$@"
exit 0
`,
    { mode: 0o755 },
  );
  return restoreAfterCrash;
};

const restoreAfterCrash = (): void => {
  if (existsSync(policySaved)) {
    renameSync(policySaved, policyFile);
  } else if (existsSync(policyFile) && isOwnPolicy()) {
    rmSync(policyFile);
  }
};

const isOwnPolicy = (): boolean =>
  Bun.spawnSync(['grep', '-q', 'Placed by UIT-Go', policyFile]).exitCode === 0;

/**
 * The RabbitMQ package queries the node's status during installation, which leaves Erlang's name service running as a
 * daemon. No package policy covers it, so daemons that were not running before are stopped here.
 */
const stopNewNameServices = (before: readonly number[]): void => {
  for (const pid of epmdProcesses()) if (!before.includes(pid)) sendSignal(pid, 'SIGTERM');
};

const epmdProcesses = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && readProcessName(name) === 'epmd')
    .map(Number);

const readProcessName = (pid: string): string | undefined => {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return undefined;
  }
};

const isForbiddenAlready = (): boolean => {
  try {
    accessSync(policyFile, constants.X_OK);
  } catch {
    return false;
  }
  return ['redis-server', 'rabbitmq-server', 'epmd'].every(
    (service) => Bun.spawnSync([policyFile, service, 'start']).exitCode === forbidden,
  );
};

const apt = async (command: readonly string[], report: ReportProgress): Promise<void> => {
  const child = Bun.spawn(
    ['apt-get', '-o', `DPkg::Lock::Timeout=${dpkgLockTimeoutSeconds}`, '-o', 'Dpkg::Use-Pty=0', ...command],
    {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      // Ctrl-C in the terminal must not interrupt dpkg in the middle of a package.
      detached: true,
    },
  );
  const [output, errors] = await Promise.all([
    readLines(child.stdout, (line) => {
      if (/^(Need to get|Setting up (redis|rabbitmq|erlang-base|wrk|haproxy))/.test(line))
        report(`  ${line}`);
    }),
    readLines(child.stderr, () => undefined),
  ]);
  if ((await child.exited) === 0) return;
  throw new ServerError(
    'server.missing',
    [
      `apt-get ${command.join(' ')} failed:`,
      ...[...output, ...errors].slice(-installLogLinesKept).map((line) => `  ${line}`),
    ].join('\n'),
  );
};

const readLines = async (
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<string[]> => {
  const lines: string[] = [];
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) {
      lines.push(line);
      onLine(line);
    }
  }
  return lines;
};
