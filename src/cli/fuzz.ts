import { systemClock } from '@platform/clock.ts';
import { createSeededRandom } from '@platform/random.ts';
import { whyNotReady } from './city/find-server.ts';
import { isHarmless, runAttacks } from './fuzz/attacks/run.ts';
import { type CampaignReport, memoryIsBack, runCampaign } from './fuzz/campaign.ts';
import { type FuzzArguments, parseArguments, usage } from './fuzz/options.ts';
import {
  attackLimits,
  fuzzLimits,
  idleConnections,
  signIn,
  slowBounds,
  startTarget,
  type Target,
} from './fuzz/target.ts';
import { interruptible } from './interruptible.ts';
import { runCommand } from './options.ts';

const readyPatienceMs = 10_000;
const say = (text: string) => void process.stderr.write(`${text}\n`);

/** `bun run fuzz`. Resolves to the exit code: 0 as it should be, 1 not, 2 wrong usage or no server. */
export const run = (args: string[]): Promise<number> =>
  runCommand('fuzz', usage, parseArguments(args), attack);

async function attack(asked: FuzzArguments): Promise<number> {
  const { url, topology } = asked;
  const interruption = interruptible();
  const { signal } = interruption;
  let target: Target | undefined;
  try {
    if (url !== undefined) {
      const problem = await whyNotReady(url, systemClock, readyPatienceMs);
      if (problem !== undefined) {
        say(problem);
        return 2;
      }
    }
    const limits = asked.attacks ? attackLimits : fuzzLimits;
    target = url === undefined ? await startTarget(topology, limits, say, signal) : named(url);
    return await (asked.attacks ? attackBesideBystanders : sendCases)(asked, target, signal);
  } finally {
    await target?.stop();
    interruption.end();
  }
}

async function attackBesideBystanders(
  { url, topology, attackSeconds, json }: FuzzArguments,
  target: Target,
  signal: AbortSignal,
): Promise<number> {
  const report = await runAttacks({
    url: target.url,
    tokens: await signIn(target),
    attackMs: attackSeconds * 1_000,
    idleConnections,
    clock: systemClock,
    signal,
    say,
  });
  for (const kind of report.skipped)
    say(`${kind}: not run, since attackers have no address of their own here`);
  const system = url === undefined ? { topology } : { url };
  if (json) process.stdout.write(`${JSON.stringify({ ...system, attackSeconds, ...report })}\n`);
  return isHarmless(report) ? 0 : 1;
}

async function sendCases(
  { url, topology, cases, slowAtOnce, seed, json }: FuzzArguments,
  target: Target,
  signal: AbortSignal,
): Promise<number> {
  const bounds = url === undefined ? slowBounds(topology, fuzzLimits) : slowBounds(undefined, process.env);
  say(`${cases} cases against ${target.url}, seed ${seed}`);
  const report = await runCampaign({
    url: target.url,
    tokens: await signIn(target),
    cases,
    slow: { atOnce: slowAtOnce, ...bounds },
    random: createSeededRandom(seed),
    clock: systemClock,
    signal,
    memoryBytes: target.memoryBytes,
    say,
  });
  describe(report);
  const system = url === undefined ? { topology } : { url };
  if (json) process.stdout.write(`${JSON.stringify({ seed, ...system, ...report })}\n`);
  return report.unexpected === 0 && memoryIsBack(report) ? 0 : 1;
}

function named(url: string): Target {
  const { OPS_EMAIL: email, OPS_PASSWORD: password } = process.env;
  return {
    url: url.replace(/\/+$/, ''),
    operator: email === undefined || password === undefined ? undefined : { email, password },
    memoryBytes: () => ({}),
    stop: async () => undefined,
  };
}

function describe({ cases, statuses, shed, unexpected, sorts, slow, memoryMb }: CampaignReport): void {
  for (const { kind, case: what, label, reason, times } of sorts)
    say(`${kind} (${times} times), ${what}: ${label}\n  ${reason}`);
  say(`${cases} cases, ${shed} shed, ${unexpected} unexpected; answers by status:`);
  for (const [status, times] of Object.entries(statuses)) say(`  ${status}: ${times}`);
  const { senders, heldMsMax, othersWaitedMsMax } = slow;
  say(
    `${senders} slow senders, held for ${heldMsMax} ms at most; others waited ${othersWaitedMsMax} ms at most`,
  );
  for (const [name, { before, after }] of Object.entries(memoryMb))
    say(
      `memory of ${name}: ${before} MB before, ${after === undefined ? 'ended since' : `${after} MB after`}`,
    );
}
