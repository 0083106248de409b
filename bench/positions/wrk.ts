import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Measurement } from '../harness/rounds.ts';
import { runWrk as run, type WrkSummary } from '../harness/wrk.ts';
import type { BenchDriver } from './drivers.ts';
import type { ProcessGroup } from './system.ts';

const script = join(import.meta.dir, 'location.lua');
const connections = 256;

export const wrkGenerator = `wrk -t1 -c${connections}, closed loop`;

/** Writes the tokens to a file for wrk. */
export function writeTokens(dir: string, drivers: readonly BenchDriver[]): string {
  const file = join(dir, 'tokens');
  writeFileSync(file, drivers.map(({ token }) => `${token}\n`).join(''), { mode: 0o600 });
  return file;
}

/** Sends positions in a closed loop; only stored ones count. Throws when a connection broke. */
export const runWrk = (
  processes: ProcessGroup,
  tokensFile: string,
  seconds: number,
  serverPids: readonly number[],
): Promise<Measurement & { summary: WrkSummary }> =>
  run(
    { url: processes.url, connections, script, args: [tokensFile], pids: processes.pids(), serverPids },
    seconds,
  );
