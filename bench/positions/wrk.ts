import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { cpuMicrosOf } from '../harness/cpu.ts';
import type { Measured } from '../harness/rounds.ts';
import type { BenchDriver } from './drivers.ts';
import type { Processes } from './system.ts';

const WrkSummary = Type.Object({
  requests: Type.Integer(),
  micros: Type.Integer(),
  p50Ms: Type.Number(),
  p95Ms: Type.Number(),
  p99Ms: Type.Number(),
  refused: Type.Integer(),
  broken: Type.Integer(),
});
export type WrkSummary = Static<typeof WrkSummary>;

const script = join(import.meta.dir, 'location.lua');
const connections = 256;

export const wrkGenerator = `wrk -t1 -c${connections}, closed loop`;

/** Writes the tokens down for wrk. */
export function writeTokens(dir: string, drivers: readonly BenchDriver[]): string {
  const file = join(dir, 'tokens');
  writeFileSync(file, drivers.map(({ token }) => `${token}\n`).join(''), { mode: 0o600 });
  return file;
}

/** Loads the processes with wrk, closed loop: only what was stored counts. Throws when a connection broke. */
export async function runWrk(
  processes: Processes,
  tokensFile: string,
  seconds: number,
  serverPids: readonly number[],
): Promise<Measured & { summary: WrkSummary }> {
  const pids = processes.pids();
  const [cpu, serverCpu] = [cpuMicrosOf(pids), cpuMicrosOf(serverPids)];
  const duration = `${Math.max(1, Math.round(seconds))}s`;
  const command = [
    'wrk',
    '-t1',
    `-c${connections}`,
    '-d',
    duration,
    '-s',
    script,
    processes.url,
    '--',
    tokensFile,
  ];
  const child = Bun.spawn(command, { stdout: 'pipe', stderr: 'inherit' });
  const output = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`wrk failed: ${output}`);
  const summary = Value.Parse(WrkSummary, JSON.parse(output.trim().split('\n').at(-1) ?? ''));
  if (summary.broken > 0) throw new Error(`${summary.broken} connections broke`);
  return {
    operations: summary.requests - summary.refused,
    seconds: summary.micros / 1e6,
    cpuMicros: cpuMicrosOf(pids) - cpu,
    serverCpuMicros: cpuMicrosOf(serverPids) - serverCpu,
    summary,
  };
}
