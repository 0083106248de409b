import { readdirSync, readFileSync } from 'node:fs';

type ProcessRow = { pid: number; parent: number; state: string; startedAt: string };

const readFromProc = (pid: string): ProcessRow | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The program name is in parentheses and may contain spaces, so fields are counted after it.
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

const readFromPs = (): ProcessRow[] => {
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

const listProcesses = (): ProcessRow[] => {
  if (process.platform !== 'linux') return readFromPs();
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => readFromProc(pid) ?? []);
};

const isRunning = (row: ProcessRow): boolean => !row.state.startsWith('Z');

/** The process and all of its descendants, parents first; empty if it has ended. */
export const processTree = (root: number): number[] => {
  const rows = listProcesses().filter(isRunning);
  const tree = rows.filter((row) => row.pid === root).map((row) => row.pid);
  // `tree` grows during the iteration: each process adds its children.
  for (const parent of tree) {
    tree.push(...rows.filter((row) => row.parent === parent).map((row) => row.pid));
  }
  return tree;
};

/**
 * When the process started, in a form that is only suitable for comparison; undefined if it has ended. A process id
 * alone does not identify a process, because the kernel reuses it.
 */
export const processStartedAt = (pid: number): string | undefined => {
  const row =
    process.platform === 'linux'
      ? readFromProc(String(pid))
      : readFromPs().find((candidate) => candidate.pid === pid);
  return row !== undefined && isRunning(row) ? row.startedAt : undefined;
};

export const isProcessAlive = (pid: number): boolean => processStartedAt(pid) !== undefined;

/** False if the process has ended. */
export const sendSignal = (pid: number, signal: NodeJS.Signals): boolean => {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
};
