import { readFileSync } from 'node:fs';

// USER_HZ: 100 on every Linux that Bun runs on.
const microsPerTick = 10_000;

/** User and system CPU time of these processes so far; 0 for ended processes and on systems without /proc. */
export function cpuMicrosOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + ticksOf(pid) * microsPerTick, 0);
}

function ticksOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The process name may contain anything; after it, fields 14 and 15 are the 12th and 13th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return 0;
  }
}
