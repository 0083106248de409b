import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { ProcessGroup } from './system.ts';

const PacedResult = Type.Object({
  p50Ms: Type.Number(),
  p95Ms: Type.Number(),
  p99Ms: Type.Number(),
  answered: Type.Integer(),
  refused: Type.Integer(),
  broken: Type.Integer(),
  connections: Type.Integer(),
});
export type PacedResult = Static<typeof PacedResult>;

/** Sends `perSecond` requests per second for `seconds` from a process of its own (`paced-process.ts`). */
export async function runPaced(
  processes: ProcessGroup,
  tokensFile: string,
  perSecond: number,
  seconds: number,
): Promise<PacedResult> {
  const file = join(import.meta.dir, 'paced-process.ts');
  const command = [process.execPath, file, processes.url, tokensFile, String(perSecond), String(seconds)];
  const child = Bun.spawn(command, { stdout: 'pipe', stderr: 'inherit' });
  const output = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`the paced process failed: ${output}`);
  return Value.Parse(PacedResult, JSON.parse(output));
}
