import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { SystemAccount } from './account.ts';
import { isProcessAlive, processTree, sendSignal } from './process-tree.ts';
import { ServerError } from './types.ts';

const pollMs = 15;
const logTailLines = 12;
/** How long child processes of a server may outlive it before they are killed. */
const descendantsTimeoutMs = 5_000;

export type ProcessSpec = {
  /** The name shown to the user, such as "PostgreSQL" or "Redis (geo)". */
  readonly name: string;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Output is appended; the folder is created. */
  readonly logFile: string;
  /** The account to run as; undefined for the current one. */
  readonly account: SystemAccount | undefined;
  /** The signal for a graceful stop of this program. */
  readonly stopSignal: NodeJS.Signals;
  readonly stopTimeoutMs: number;
  /** When aborted, waiting for readiness ends. */
  readonly signal?: AbortSignal | undefined;
};

export type ManagedProcess = {
  readonly pid: number;
  readonly exited: Promise<number>;
  isAlive(): boolean;
  /** All running processes, the main one first. */
  pids(): number[];
  /** SIGKILL, SIGSTOP and SIGCONT are sent to the whole tree, other signals to the main process. */
  signal(signal: NodeJS.Signals): void;
  /** Sends the stop signal, then SIGKILL after `stopTimeoutMs`; resolves when no process is left. */
  stop(): Promise<void>;
  /** The log output since this start. */
  output(): string;
};

/**
 * Starts a program that does not receive Ctrl-C from the terminal, because it is stopped in order. On Linux, the
 * kernel stops it if this process dies first.
 */
export const startProcess = (spec: ProcessSpec): ManagedProcess => {
  mkdirSync(dirname(spec.logFile), { recursive: true });
  const logStart = existsSync(spec.logFile) ? statSync(spec.logFile).size : 0;
  const log = openSync(spec.logFile, 'a');
  const child = Bun.spawn([...parentDeathCommand(spec.stopSignal), ...spec.command], {
    cwd: spec.cwd,
    env: { ...spec.env },
    stdin: 'ignore',
    stdout: log,
    stderr: log,
    detached: true,
    ...(spec.account === undefined ? {} : { uid: spec.account.uid, gid: spec.account.gid }),
  });
  closeSync(log);

  const isAlive = () => child.exitCode === null && child.signalCode === null;
  const pids = () => (isAlive() ? processTree(child.pid) : []);
  // Descendants may outlive the main process briefly and can not be found once it has ended.
  const descendants = new Set<number>();
  const signal = (name: NodeJS.Signals) => {
    const tree = pids();
    for (const pid of tree) descendants.add(pid);
    const isForTree = name === 'SIGKILL' || name === 'SIGSTOP' || name === 'SIGCONT';
    for (const pid of isForTree ? tree : tree.slice(0, 1)) sendSignal(pid, name);
  };
  const stop = async () => {
    // A paused process can not handle the stop signal.
    signal('SIGCONT');
    signal(spec.stopSignal);
    if (!(await settlesWithin(child.exited, spec.stopTimeoutMs))) {
      signal('SIGKILL');
      await child.exited;
    }
    await waitUntilEnded([...descendants]);
  };
  return {
    pid: child.pid,
    exited: child.exited,
    isAlive,
    pids,
    signal,
    stop,
    output: () => readFileSync(spec.logFile).subarray(logStart).toString(),
  };
};

/**
 * Polls `isReady` until it returns true.
 * @throws ServerError `server.port_taken`, `server.exited`, `server.not_ready` (with the end of the log) or
 * `server.interrupted`; the process has ended then.
 */
export const awaitReady = async (
  spec: ProcessSpec,
  started: ManagedProcess,
  readyTimeoutMs: number,
  isReady: () => Promise<boolean>,
): Promise<void> => {
  const deadline = performance.now() + readyTimeoutMs;
  while (started.isAlive()) {
    if (await isReady()) return;
    if (spec.signal?.aborted) {
      await started.stop();
      throw new ServerError('server.interrupted', `${spec.name}: interrupted while starting`);
    }
    if (performance.now() > deadline) {
      await started.stop();
      throw new ServerError(
        'server.not_ready',
        `${spec.name} was not ready within ${readyTimeoutMs / 1000} s.\n${logTail(spec, started)}`,
      );
    }
    await Bun.sleep(pollMs);
  }
  await started.stop();
  throw /address already in use|eaddrinuse/i.test(started.output())
    ? new ServerError(
        'server.port_taken',
        `${spec.name}: its port on 127.0.0.1 is in use by another program.\n${logTail(spec, started)}`,
      )
    : new ServerError('server.exited', `${spec.name} exited while starting.\n${logTail(spec, started)}`);
};

const logTail = (spec: ProcessSpec, started: ManagedProcess): string => {
  const lines = started.output().trimEnd().split('\n').slice(-logTailLines);
  return [`The end of ${spec.logFile}:`, ...lines.map((line) => `  ${line}`)].join('\n');
};

/** Whether the promise settles within the timeout. */
export const settlesWithin = (promise: Promise<unknown>, timeoutMs: number): Promise<boolean> =>
  new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), timeoutMs);
    promise.finally(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });

const waitUntilEnded = async (pids: readonly number[]): Promise<void> => {
  const deadline = performance.now() + descendantsTimeoutMs;
  while (pids.some(isProcessAlive)) {
    if (performance.now() > deadline) for (const pid of pids) sendSignal(pid, 'SIGKILL');
    await Bun.sleep(pollMs);
  }
};

/**
 * `setpriv` (util-linux, part of every Debian) requests the signal from the kernel and then executes the program, so
 * the process id is the server's own. Without it, a `kill -9` of this process leaves the server running.
 */
const parentDeathCommand = (signal: NodeJS.Signals): string[] => {
  if (process.platform !== 'linux') return [];
  const setpriv = Bun.which('setpriv', { PATH: '/usr/bin:/bin:/usr/sbin:/sbin' });
  return setpriv === null ? [] : [setpriv, '--pdeathsig', signal.replace('SIG', ''), '--'];
};
