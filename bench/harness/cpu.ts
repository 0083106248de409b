import { readFileSync } from 'node:fs';

// USER_HZ: 100 on every Linux that Bun runs on.
const microsPerTick = 10_000;

/** CPU time that these processes have used so far, user and system; 0 for those gone, and where there is no /proc. */
export function cpuMicrosOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + ticksOf(pid) * microsPerTick, 0);
}

function ticksOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Behind the name, which may hold anything, fields 14 and 15 are the 12th and 13th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return 0;
  }
}
