import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { SystemAccount } from './account.ts';
import { isProcessAlive, processTree, sendSignal } from './process-tree.ts';
import { ServerError } from './types.ts';

const pollMs = 15;
const logTailLines = 12;
/** How long the helpers of a server may outlive it before that counts as a leak. */
const descendantsTimeoutMs = 5_000;

export type ProcessSpec = {
  /** As the user knows it: "PostgreSQL", "Redis (geo)". */
  readonly name: string;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Output is appended; the folder is made. */
  readonly logFile: string;
  /** Whom to run as; undefined: as ourselves. */
  readonly account: SystemAccount | undefined;
  /** What asks this program to end in good order. */
  readonly stopSignal: NodeJS.Signals;
  readonly stopTimeoutMs: number;
  /** Aborted: give up waiting for it to be ready. */
  readonly signal?: AbortSignal | undefined;
};

export type ManagedProcess = {
  readonly pid: number;
  readonly exited: Promise<number>;
  isAlive(): boolean;
  /** Every process of it that lives, the main one first. */
  pids(): number[];
  /** SIGKILL, SIGSTOP and SIGCONT reach the whole tree, other signals the main process. */
  signal(signal: NodeJS.Signals): void;
  /** Ends it: its stop signal, SIGKILL after `stopTimeoutMs`; resolves when no process is left. */
  stop(): Promise<void>;
  /** What it wrote to its log since this start. */
  output(): string;
};

/**
 * Starts a program that Ctrl-C in the terminal does not reach (we stop it in order ourselves) and
 * that, on Linux, the kernel ends when we die without a chance to.
 */
export const startProcess = (spec: ProcessSpec): ManagedProcess => {
  mkdirSync(dirname(spec.logFile), { recursive: true });
  const logStart = existsSync(spec.logFile) ? statSync(spec.logFile).size : 0;
  const log = openSync(spec.logFile, 'a');
  const child = Bun.spawn([...endWithParent(spec.stopSignal), ...spec.command], {
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
  // Processes that may outlive the main one for a moment; once it is gone nothing leads to them.
  const helpers = new Set<number>();
  const signal = (name: NodeJS.Signals) => {
    const tree = pids();
    for (const pid of tree) helpers.add(pid);
    const whole = name === 'SIGKILL' || name === 'SIGSTOP' || name === 'SIGCONT';
    for (const pid of whole ? tree : tree.slice(0, 1)) sendSignal(pid, name);
  };
  const stop = async () => {
    // A frozen process cannot hear the request to end.
    signal('SIGCONT');
    signal(spec.stopSignal);
    if (!(await settlesWithin(child.exited, spec.stopTimeoutMs))) {
      signal('SIGKILL');
      await child.exited;
    }
    await awaitGone([...helpers]);
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
 * Polls `isReady` until it holds.
 * @throws ServerError `server.port_taken`, `server.exited`, `server.not_ready` (with the end of the
 * log) or `server.interrupted`; the process is gone then.
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
        `${spec.name}: its port on 127.0.0.1 belongs to another program.\n${logTail(spec, started)}`,
      )
    : new ServerError('server.exited', `${spec.name} ended while starting.\n${logTail(spec, started)}`);
};

const logTail = (spec: ProcessSpec, started: ManagedProcess): string => {
  const lines = started.output().trimEnd().split('\n').slice(-logTailLines);
  return [`The end of ${spec.logFile}:`, ...lines.map((line) => `  ${line}`)].join('\n');
};

/** True when the promise settles in time. */
export const settlesWithin = (promise: Promise<unknown>, timeoutMs: number): Promise<boolean> =>
  new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), timeoutMs);
    promise.finally(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });

const awaitGone = async (pids: readonly number[]): Promise<void> => {
  const deadline = performance.now() + descendantsTimeoutMs;
  while (pids.some(isProcessAlive)) {
    if (performance.now() > deadline) for (const pid of pids) sendSignal(pid, 'SIGKILL');
    await Bun.sleep(pollMs);
  }
};

/**
 * `setpriv` (util-linux, part of every Debian) asks the kernel for the signal and then becomes the
 * program, so the process id is the server's own. Without it a `kill -9` of us leaves the server.
 */
const endWithParent = (signal: NodeJS.Signals): string[] => {
  if (process.platform !== 'linux') return [];
  const setpriv = Bun.which('setpriv', { PATH: '/usr/bin:/bin:/usr/sbin:/sbin' });
  return setpriv === null ? [] : [setpriv, '--pdeathsig', signal.replace('SIG', ''), '--'];
};
