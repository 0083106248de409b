import { readdirSync, readFileSync } from 'node:fs';

type ProcessRow = { pid: number; parent: number; state: string; startedAt: string };

const fromProc = (pid: string): ProcessRow | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The program's name stands in parentheses and may hold spaces: fields count from after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return {
      pid: Number(pid),
      state: fields[0] ?? '',
      parent: Number(fields[1]),
      startedAt: fields[19] ?? '',
    };
  } catch {
    return undefined;
  }
};

const fromPs = (): ProcessRow[] => {
  const listing = Bun.spawnSync(['ps', '-A', '-o', 'pid=,ppid=,state=,lstart=']).stdout.toString();
  return listing
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .map(([pid, parent, state, ...started]) => ({
      pid: Number(pid),
      parent: Number(parent),
      state: state ?? '',
      startedAt: started.join(' '),
    }));
};

const processes = (): ProcessRow[] => {
  if (process.platform !== 'linux') return fromPs();
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => fromProc(pid) ?? []);
};

const isRunning = (row: ProcessRow): boolean => !row.state.startsWith('Z');

/** The process and all that it started, parents first; empty when it is gone. */
export const processTree = (root: number): number[] => {
  const rows = processes().filter(isRunning);
  const tree = rows.filter((row) => row.pid === root).map((row) => row.pid);
  // `tree` grows while it is walked: each process found brings its own children.
  for (const parent of tree) {
    tree.push(...rows.filter((row) => row.parent === parent).map((row) => row.pid));
  }
  return tree;
};

/**
 * When the process started, in a form only good for comparing; undefined when it is gone.
 * A number alone does not name a process: the kernel gives it out again.
 */
export const processStartedAt = (pid: number): string | undefined => {
  const row =
    process.platform === 'linux'
      ? fromProc(String(pid))
      : fromPs().find((candidate) => candidate.pid === pid);
  return row !== undefined && isRunning(row) ? row.startedAt : undefined;
};

export const isProcessAlive = (pid: number): boolean => processStartedAt(pid) !== undefined;

/** False when there is no such process any more. */
export const sendSignal = (pid: number, signal: NodeJS.Signals): boolean => {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
};
