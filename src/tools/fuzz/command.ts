import { systemClock } from '@platform/clock.ts';
import { createSeededRandom } from '@platform/random.ts';
import { waitUntilReady } from '../city/find-server.ts';
import { handleInterrupts } from '../command/interruption.ts';
import { isHarmless, runAttacks } from './attacks/run.ts';
import { type FuzzReport, isMemoryReleased, runFuzzCampaign } from './campaign.ts';
import type { FuzzArguments } from './options.ts';
import {
  attackLimits,
  createRoleTokens,
  type FuzzTarget,
  fuzzLimits,
  idleConnections,
  slowSenderBounds,
  startFuzzTarget,
} from './target.ts';

const readyTimeoutMs = 10_000;
const reportProgress = (text: string) => void process.stderr.write(`${text}\n`);

/** Runs fuzz cases or attacks with the arguments of `bun run fuzz`. Resolves to the exit code: 0 all responses as expected, 1 not, 2 no server. */
export async function runFuzzCommand(options: FuzzArguments): Promise<number> {
  const { url, topology } = options;
  const interruption = handleInterrupts();
  const { signal } = interruption;
  let target: FuzzTarget | undefined;
  try {
    if (url !== undefined) {
      const problem = await waitUntilReady(url, systemClock, readyTimeoutMs);
      if (problem !== undefined) {
        reportProgress(problem);
        return 2;
      }
    }
    const limits = options.attacks ? attackLimits : fuzzLimits;
    target =
      url === undefined
        ? await startFuzzTarget(topology, limits, reportProgress, signal)
        : externalTarget(url);
    return await (options.attacks ? runAttackCommand : runCaseCommand)(options, target, signal);
  } finally {
    await target?.stop();
    interruption.restore();
  }
}

async function runAttackCommand(
  { url, topology, attackSeconds, json }: FuzzArguments,
  target: FuzzTarget,
  signal: AbortSignal,
): Promise<number> {
  const report = await runAttacks({
    url: target.url,
    tokens: await createRoleTokens(target),
    attackMs: attackSeconds * 1_000,
    idleConnections,
    clock: systemClock,
    signal,
    reportProgress,
  });
  for (const kind of report.skipped)
    reportProgress(`${kind}: skipped, because the attackers have no address of their own here`);
  const system = url === undefined ? { topology } : { url };
  if (json) process.stdout.write(`${JSON.stringify({ ...system, attackSeconds, ...report })}\n`);
  return isHarmless(report) ? 0 : 1;
}

async function runCaseCommand(
  { url, topology, cases, slowAtOnce, seed, json }: FuzzArguments,
  target: FuzzTarget,
  signal: AbortSignal,
): Promise<number> {
  const bounds =
    url === undefined ? slowSenderBounds(topology, fuzzLimits) : slowSenderBounds(undefined, process.env);
  reportProgress(`${cases} cases against ${target.url}, seed ${seed}`);
  const report = await runFuzzCampaign({
    url: target.url,
    tokens: await createRoleTokens(target),
    cases,
    slow: { atOnce: slowAtOnce, ...bounds },
    random: createSeededRandom(seed),
    clock: systemClock,
    signal,
    memoryBytes: target.memoryBytes,
    reportProgress,
  });
  printReport(report);
  const system = url === undefined ? { topology } : { url };
  if (json) process.stdout.write(`${JSON.stringify({ seed, ...system, ...report })}\n`);
  return report.unexpected === 0 && isMemoryReleased(report) ? 0 : 1;
}

function externalTarget(url: string): FuzzTarget {
  const { OPS_EMAIL: email, OPS_PASSWORD: password } = process.env;
  return {
    url: url.replace(/\/+$/, ''),
    operator: email === undefined || password === undefined ? undefined : { email, password },
    memoryBytes: () => ({}),
    stop: async () => undefined,
  };
}

function printReport({ cases, statuses, shed, unexpected, sorts, slow, memoryMb }: FuzzReport): void {
  for (const { kind, case: caseKind, label, reason, times } of sorts)
    reportProgress(`${kind} (${times} times), ${caseKind}: ${label}\n  ${reason}`);
  reportProgress(`${cases} cases, ${shed} shed, ${unexpected} unexpected; responses by status:`);
  for (const [status, times] of Object.entries(statuses)) reportProgress(`  ${status}: ${times}`);
  const { senders, heldMsMax, othersWaitedMsMax } = slow;
  reportProgress(
    `${senders} slow senders, held for at most ${heldMsMax} ms; other clients waited at most ${othersWaitedMsMax} ms`,
  );
  for (const [name, { before, after }] of Object.entries(memoryMb))
    reportProgress(
      `memory of ${name}: ${before} MB before, ${after === undefined ? 'process has ended' : `${after} MB after`}`,
    );
}
