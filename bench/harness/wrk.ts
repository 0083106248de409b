import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { resolveProgram } from '../../src/tools/servers/index.ts';
import { cpuMicrosOf } from './cpu.ts';
import { wrk } from './programs.ts';
import type { Measurement } from './rounds.ts';

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

export interface WrkOptions {
  url: string;
  connections: number;
  /** A Lua script whose last line of output is one JSON object of the shape above. */
  script: string;
  args: readonly string[];
  /** Processes whose CPU time is measured: the tested ones, and the servers that they depend on. */
  pids: readonly number[];
  serverPids: readonly number[];
}

/** Runs wrk in a closed loop with one thread; only successful responses count. Throws when a connection broke. */
export async function runWrk(
  options: WrkOptions,
  seconds: number,
): Promise<Measurement & { summary: WrkSummary }> {
  const { pids, serverPids, connections } = options;
  const [cpu, serverCpu] = [cpuMicrosOf(pids), cpuMicrosOf(serverPids)];
  const duration = `${Math.max(1, Math.round(seconds))}s`;
  const load = ['-t1', `-c${connections}`, '-d', duration, '-s', options.script];
  const child = Bun.spawn([resolveProgram(wrk), ...load, options.url, '--', ...options.args], {
    stdout: 'pipe',
    stderr: 'inherit',
  });
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
